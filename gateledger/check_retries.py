"""When Envoy asks for a decision again, and how: the retry policy of its Checks. Pure.

What each number rests on is in docs/design/check-workers.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

_PREVIOUS_HOSTS = "envoy.retry_host_predicates.previous_hosts"
_TYPE = "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"


def check_retries(endpoints: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """The policy for an extauthz at those lb_endpoints; None where a retry could not help.

    That is exactly one unix socket: there is no other worker to ask, its own restart takes longer than all
    retries, and no connection on it is cut while it is idle, as one to another machine may be.
    """
    if len(endpoints) == 1 and "pipe" in endpoints[0]["endpoint"]["address"]:
        return None
    return {
        "retry_on": "connect-failure,refused-stream,reset,unavailable",
        "num_retries": 3,
        # The longest pause is also how long one try may take (Envoy's rule): as long as all of it, for who is
        # slow is not dead.
        "retry_back_off": {"base_interval": "0.005s", "max_interval": "2s"},
        "retry_host_predicate": [{"name": _PREVIOUS_HOSTS, "typed_config": {"@type": _TYPE}}],
        # Drawn at random, and a dead worker has the fewest requests: so often that it is not drawn each time.
        "host_selection_retry_max_attempts": 30,
    }
