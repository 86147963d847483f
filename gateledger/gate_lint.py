"""What a bootstrap must hold so that nothing passes undecided or unrecorded. Pure.

Envoy accepts many a bootstrap that opens the gate; whoever writes their own is told before it starts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

CLUSTERS = ("extauthz", "alslog")
# The stack reads this manager's counters when it drains.
STAT_PREFIX = "gate"

_MANAGER = "http_connection_manager.v3.HttpConnectionManager"
_AUTHZ = "ext_authz.v3.ExtAuthz"
_JWT = "jwt_authn.v3.JwtAuthentication"
_ACCESS_LOG = "HttpGrpcAccessLogConfig"


def problems(bootstrap: Mapping[str, Any], issuers: Collection[str]) -> list[str]:
    """Sentences that say what is missing or open; none where all is well.

    `issuers` are the names in the setting extauthz.issuers.
    """
    static = bootstrap.get("static_resources") or {}
    clusters = {cluster.get("name") for cluster in static.get("clusters") or []}
    found = [
        f"there is no cluster {name!r}, which Envoy reaches the service by"
        for name in CLUSTERS
        if name not in clusters
    ]
    managers = [config for config in _typed(static) if config["@type"].endswith(_MANAGER)]
    if not managers:
        found.append("there is no HTTP connection manager, so nothing is guarded")
    for manager in managers:
        found.extend(_problems_of(manager))
    found.extend(_strangers(static, issuers))
    return found


def _problems_of(manager: Mapping[str, Any]) -> Iterator[str]:
    prefix = manager.get("stat_prefix")
    where = f"HTTP connection manager {prefix!r}: "
    if prefix != STAT_PREFIX:
        yield f"{where}stat_prefix must be {STAT_PREFIX!r}: by its counters the stop waits for requests in flight"
    filters = [_config(one) for one in manager.get("http_filters") or []]
    authz = [config for config in filters if config["@type"].endswith(_AUTHZ)]
    if not authz:
        yield f"{where}there is no ext_authz filter, so every request passes undecided"
    for config in authz:
        if config.get("failure_mode_allow"):
            yield f"{where}failure_mode_allow lets requests pass when extauthz does not answer"
        if config["disabled"]:
            yield f"{where}the ext_authz filter is disabled"
        if "filter_enabled" in config and not config.get("deny_at_disable"):
            yield f"{where}filter_enabled without deny_at_disable lets requests pass undecided"
    yield from (f"{where}{name} must be true, or paths mean two things" for name in _off(manager))
    if any(
        config["@type"].endswith("ExtAuthzPerRoute") and config.get("disabled") for config in _typed(manager)
    ):
        yield f"{where}a route disables ext_authz; let the policy allow it instead"
    logs = [_config(one) for one in manager.get("access_log") or []]
    if not any(config["@type"].endswith(_ACCESS_LOG) for config in logs):
        yield f"{where}there is no gRPC access log, so nothing is recorded"


def _off(manager: Mapping[str, Any]) -> list[str]:
    return [
        name for name in ("normalize_path", "merge_slashes", "use_remote_address") if not manager.get(name)
    ]


def _strangers(static: Mapping[str, Any], issuers: Collection[str]) -> Iterator[str]:
    """A provider that extauthz does not know refuses each of its tokens; better to hear of it now."""
    providers = {
        name
        for config in _typed(static)
        if config["@type"].endswith(_JWT)
        for name in config.get("providers") or {}
    }
    for name in sorted(providers - set(issuers)):
        yield f"jwt_authn verifies tokens of {name!r}, which the setting extauthz.issuers does not name"
    for name in sorted(set(issuers) - providers):
        yield f"the setting extauthz.issuers names {name!r}, but jwt_authn has no such provider"


def _config(one: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"@type": "", **(one.get("typed_config") or {}), "disabled": one.get("disabled", False)}


def _typed(node: object) -> Iterator[Mapping[str, Any]]:
    """Every object with an "@type", wherever it stands."""
    if isinstance(node, dict):
        if isinstance(node.get("@type"), str):
            yield node
        for value in node.values():
            yield from _typed(value)
    elif isinstance(node, list):
        for value in node:
            yield from _typed(value)
