"""What a bootstrap must hold so that nothing passes undecided or unrecorded. Pure.

Envoy accepts many a bootstrap that opens the gate; whoever writes their own is told before it starts.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from gateledger.gate_identity import identity_problems, tls_problems
from gateledger.gate_parts import AUTHZ, MANAGER, config, of_type, typed
from gateledger.gate_routes import route_problems

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from extauthz.identity_settings import IdentitySettings

CLUSTERS = ("extauthz", "alslog")
# The stack reads this manager's counters when it drains.
STAT_PREFIX = "gate"

# What comes of it when a thread of Envoy does not know yet.
_MEANWHILE = {
    "extauthz": "refuse requests that could be decided, or wait for nobody",
    "alslog": "lose entries without a counter",
}
_ACCESS_LOG = "HttpGrpcAccessLogConfig"
_SWITCHES = ("filter_enabled", "filter_enabled_metadata")


def problems(bootstrap: Mapping[str, Any], identity: IdentitySettings) -> list[str]:
    """Sentences that say what is missing or open; none where all is well."""
    static = bootstrap.get("static_resources") or {}
    found = list(_cluster_problems(static.get("clusters") or []))
    managers = list(of_type(static, MANAGER))
    if not managers:
        found.append("there is no HTTP connection manager, so nothing is guarded")
    for manager in managers:
        found.extend(_problems_of(manager))
        found.extend(identity_problems(manager, identity))
    found.extend(tls_problems(static))
    return found


def _cluster_problems(clusters: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    by_name = {cluster.get("name"): cluster for cluster in clusters}
    for name in CLUSTERS:
        if name not in by_name:
            yield f"there is no cluster {name!r}, which Envoy reaches the service by"
        elif not _is_zero((by_name[name].get("common_lb_config") or {}).get("update_merge_window")):
            yield (
                f"cluster {name!r}: common_lb_config.update_merge_window must be 0s: by default Envoy's threads hear up "
                f"to a second late that {name} is away or back, and {_MEANWHILE[name]}"
            )


def _is_zero(duration: object) -> bool:
    return isinstance(duration, str) and re.fullmatch(r"0(\.0*)?s", duration) is not None


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
        switches = () if _denies(one.get("deny_at_disable")) else [name for name in _SWITCHES if name in one]
        yield from (
            f"{where}{name} without deny_at_disable lets requests pass undecided" for name in switches
        )
    yield from (f"{where}{name} must be true, or paths mean two things" for name in _off(manager))
    if any(_switched_off(manager)):
        yield f"{where}a route disables ext_authz; let the policy allow it instead"
    yield from (where + problem for problem in (*_unrecorded(manager), *route_problems(manager)))


def _unrecorded(manager: Mapping[str, Any]) -> Iterator[str]:
    logs = [one for one in manager.get("access_log") or [] if config(one)["@type"].endswith(_ACCESS_LOG)]
    if not logs:
        yield "there is no gRPC access log, so nothing is recorded"
    elif all(one.get("filter") for one in logs):
        yield "the gRPC access log has a filter, so what that leaves out is not recorded"


def _denies(switch: object) -> bool:
    default = switch.get("default_value") if isinstance(switch, dict) else None
    return isinstance(default, dict) and bool(default.get("value"))


def _switched_off(manager: Mapping[str, Any]) -> Iterator[bool]:
    """For each route's settings of ext_authz, in either form: whether they disable it."""
    names = {
        one.get("name") for one in manager.get("http_filters") or [] if config(one)["@type"].endswith(AUTHZ)
    }
    for one in typed(manager):
        if one["@type"].endswith("ExtAuthzPerRoute"):
            yield bool(one.get("disabled"))
    for settings in _per_filter(manager):
        yield any(
            name in names and isinstance(one, dict) and bool(one.get("disabled"))
            for name, one in settings.items()
        )


def _per_filter(node: object) -> Iterator[Mapping[str, Any]]:
    """What hosts, routes and their like set for single filters."""
    inside = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    if isinstance(node, dict) and isinstance(found := node.get("typed_per_filter_config"), dict):
        yield found
    for value in inside:
        yield from _per_filter(value)


def _off(manager: Mapping[str, Any]) -> list[str]:
    return [
        name for name in ("normalize_path", "merge_slashes", "use_remote_address") if not manager.get(name)
    ]
