"""What a bootstrap must hold so that nothing passes undecided or unrecorded. Pure.

Envoy accepts many a bootstrap that opens the gate; whoever writes their own is told before it starts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateledger.gate_identity import identity_problems, tls_problems
from gateledger.gate_parts import AUTHZ, MANAGER, config, of_type, typed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from extauthz.identity_settings import IdentitySettings

CLUSTERS = ("extauthz", "alslog")
# The stack reads this manager's counters when it drains.
STAT_PREFIX = "gate"

_ACCESS_LOG = "HttpGrpcAccessLogConfig"


def problems(bootstrap: Mapping[str, Any], identity: IdentitySettings) -> list[str]:
    """Sentences that say what is missing or open; none where all is well."""
    static = bootstrap.get("static_resources") or {}
    clusters = {cluster.get("name") for cluster in static.get("clusters") or []}
    found = [
        f"there is no cluster {name!r}, which Envoy reaches the service by"
        for name in CLUSTERS
        if name not in clusters
    ]
    managers = list(of_type(static, MANAGER))
    if not managers:
        found.append("there is no HTTP connection manager, so nothing is guarded")
    for manager in managers:
        found.extend(_problems_of(manager))
        found.extend(identity_problems(manager, identity))
    found.extend(tls_problems(static))
    return found


def _problems_of(manager: Mapping[str, Any]) -> Iterator[str]:
    prefix = manager.get("stat_prefix")
    where = f"HTTP connection manager {prefix!r}: "
    if prefix != STAT_PREFIX:
        yield f"{where}stat_prefix must be {STAT_PREFIX!r}: by its counters the stop waits for requests in flight"
    filters = [config(one) for one in manager.get("http_filters") or []]
    authz = [one for one in filters if one["@type"].endswith(AUTHZ)]
    if not authz:
        yield f"{where}there is no ext_authz filter, so every request passes undecided"
    for one in authz:
        if one.get("failure_mode_allow"):
            yield f"{where}failure_mode_allow lets requests pass when extauthz does not answer"
        if one["disabled"]:
            yield f"{where}the ext_authz filter is disabled"
        if "filter_enabled" in one and not one.get("deny_at_disable"):
            yield f"{where}filter_enabled without deny_at_disable lets requests pass undecided"
    yield from (f"{where}{name} must be true, or paths mean two things" for name in _off(manager))
    if any(one["@type"].endswith("ExtAuthzPerRoute") and one.get("disabled") for one in typed(manager)):
        yield f"{where}a route disables ext_authz; let the policy allow it instead"
    logs = [config(one) for one in manager.get("access_log") or []]
    if not any(one["@type"].endswith(_ACCESS_LOG) for one in logs):
        yield f"{where}there is no gRPC access log, so nothing is recorded"


def _off(manager: Mapping[str, Any]) -> list[str]:
    return [
        name for name in ("normalize_path", "merge_slashes", "use_remote_address") if not manager.get(name)
    ]
