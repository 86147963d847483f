"""Checks answered by the real checker over the sample policy, and what holds for every answer."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import structlog
from check_requests import parsed
from policy_texts import SAMPLE

from access import ReasonCode
from extauthz.check import Checker
from extauthz.decide import Rules, Snapshot
from extauthz.engine import Engine
from extauthz.identity_settings import IdentitySettings, Issuer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from extauthz.engine import Verdict

ATTRIBUTES = ("subject", "service", "resource", "action")
METADATA = frozenset(
    [
        "decision_id",
        "effect",
        "reason_code",
        "reason",
        "subject",
        "roles",
        "auth_method",
        "auth_issuer",
        "service",
        "action",
        "resource",
        "rule",
        "rule_line",
        "policy_version",
        "config_version",
        "decide_us",
    ]
)


class Watched:
    """An engine that remembers whether it allowed anything."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.version = engine.version
        self.asked: list[tuple[tuple[str, ...], bool]] = []

    def enforce(self, *values: str, roles: Sequence[str] = ()) -> Verdict:
        verdict = self._engine.enforce(*values, roles=roles)
        self.asked.append((values, verdict.allowed))
        return verdict


SAMPLE_ENGINE = Engine.from_files(SAMPLE / "model.conf", SAMPLE / "policy.csv", ATTRIBUTES)


def answered(message: bytes, *, path_parameters: bool = False) -> tuple[bytes, Watched]:
    watched: Any = Watched(SAMPLE_ENGINE)
    # Templates that settings would refuse: what a Check does must not hang on that.
    issuers = (Issuer(name="demo", roles=("*",)), Issuer(name="corp", subject="corp:{sub}"))
    identity = IdentitySettings.model_construct(issuers=issuers)
    rules = Rules(ATTRIBUTES, path_parameters=path_parameters)
    checker = Checker(identity, rules, lambda: Snapshot(watched), lambda *_: None, structlog.get_logger())
    return checker.check(message), watched


def assert_sound(answer: bytes, watched: Watched) -> None:
    response = parsed(answer)
    fields = dict(response.dynamic_metadata.items())
    kind = response.WhichOneof("http_response")
    allowed = bool(watched.asked) and all(allows_ for _, allows_ in watched.asked)

    assert set(fields) == METADATA
    assert all(isinstance(value, str) for value in fields.values())
    assert allowed == (kind == "ok_response") == (response.status.code == 0)
    assert fields["effect"] == ("allow" if allowed else "deny")
    assert fields["reason_code"] in set(ReasonCode)
    if kind == "ok_response":
        sent = {option.header.key: option.header.value for option in response.ok_response.headers}
        assert sent["x-subject"] == fields["subject"] != ""
    else:
        denied = response.denied_response if kind == "denied_response" else response.error_response
        assert denied.status.code in {400, 401, 403, 503}
        assert json.loads(denied.body)["decision_id"] == fields["decision_id"]
