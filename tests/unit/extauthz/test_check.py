from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import structlog
from check_requests import NO_TOKEN, allows, check_request, metadata, parsed, token
from google.protobuf.struct_pb2 import Struct

from access import ReasonCode
from extauthz import check as check_module
from extauthz.check import Checker
from extauthz.decide import Rules, Snapshot
from extauthz.engine import EnforceError, Engine
from extauthz.identity_settings import IdentitySettings, Issuer
from ledger.framing import framing
from protos.gen import ext_authz_pb2

if TYPE_CHECKING:
    from collections.abc import Callable

RULES = Rules(("subject", "service", "resource", "action"), "cfg")


def checker(snapshot: Callable[[], Snapshot], seen: list[ReasonCode] | None = None) -> Checker:
    counted: list[ReasonCode] = [] if seen is None else seen
    log = structlog.get_logger()
    return Checker(
        IdentitySettings(issuers=(Issuer(name="demo", roles=("*",)),)),
        RULES,
        snapshot,
        lambda code, _: counted.append(code),
        log,
    )


def test_a_check_is_answered_from_bytes_to_bytes(engine: Engine) -> None:
    seen: list[ReasonCode] = []
    check = checker(lambda: Snapshot(engine), seen).check

    assert allows(check(check_request()))
    assert not allows(check(check_request("/nowhere")))
    assert not allows(check(check_request(tokens=NO_TOKEN)))
    assert seen == [ReasonCode.RULE_ALLOW, ReasonCode.NO_MATCHING_RULE, ReasonCode.UNAUTHENTICATED]


def test_the_upstream_gets_the_subject_instead_of_the_token(engine: Engine) -> None:
    question = check_request(headers=[("authorization", b"Bearer abc.def.ghi")])

    answer = parsed(checker(lambda: Snapshot(engine)).check(question)).ok_response

    assert "authorization" in answer.headers_to_remove
    assert "x-subject" in {option.header.key for option in answer.headers}


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param([b"Basic cm9vdDpyb290", b"Bearer abc.def.ghi"], id="two headers"),
        pytest.param([b"Basic cm9vdDpyb290, Bearer abc.def.ghi"], id="two schemes in one"),
        pytest.param([b"xBearer abc.def.ghi"], id="before the token"),
        pytest.param([b"Bearer abc.def.ghi x"], id="behind the token"),
    ],
)
def test_a_verified_token_that_did_not_come_alone_is_an_invalid_credential(
    engine: Engine, headers: list[bytes]
) -> None:
    question = check_request(headers=[("authorization", header) for header in headers])

    answer = checker(lambda: Snapshot(engine)).check(question)

    assert parsed(answer).denied_response.status.code == 401
    assert metadata(answer)["reason_code"] == "invalid_credential"
    assert metadata(answer)["auth_issuer"] == "demo"


def test_every_decision_has_a_name_of_its_own(engine: Engine) -> None:
    check = checker(lambda: Snapshot(engine)).check

    assert len({metadata(check(check_request()))["decision_id"] for _ in range(100)}) == 100


def test_bytes_that_are_no_check_request_are_a_bad_request(engine: Engine) -> None:
    answer = checker(lambda: Snapshot(engine)).check(b"\xff")

    assert parsed(answer).denied_response.status.code == 400
    assert metadata(answer)["reason_code"] == "bad_request"


class _Broken:
    version = "v"

    def __init__(self, error: Exception) -> None:
        self._error = error

    def enforce(self, *_: str, roles: object) -> None:
        raise self._error


@pytest.mark.parametrize(
    "error",
    [EnforceError("x"), ValueError("x"), KeyError("x"), RecursionError(), MemoryError(), AssertionError()],
    ids=lambda error: type(error).__name__,
)
def test_whatever_the_engine_throws_becomes_an_error_response(error: Exception) -> None:
    broken: Any = _Broken(error)
    seen: list[ReasonCode] = []

    answer = checker(lambda: Snapshot(broken), seen).check(check_request())

    assert parsed(answer).error_response.status.code == 503
    assert metadata(answer)["reason_code"] == "engine_error"
    assert metadata(answer)["config_version"] == "cfg"
    assert seen == [ReasonCode.ENGINE_ERROR]


def test_a_policy_that_cannot_be_had_is_an_error_response() -> None:
    def gone() -> Snapshot:
        raise OSError

    assert parsed(checker(gone).check(check_request())).error_response.status.code == 503


def test_when_even_an_answer_cannot_be_made_the_last_resort_denies(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = checker(lambda: Snapshot(engine))

    def broken(*_: object) -> bytes:
        raise RuntimeError("no answer")

    monkeypatch.setattr(check_module.wire, "answer_to", broken)

    for answer in (
        made.check(check_request()),
        made.check(b"\xff"),
        made.refused(ReasonCode.OVERLOADED, "x")[0],
    ):
        response = parsed(answer)

        assert response.error_response.status.code == 503
        assert response.status.code != 0


def test_an_answer_that_would_allow_a_denial_is_an_error_instead(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = checker(lambda: Snapshot(engine))
    monkeypatch.setattr(check_module.wire, "_fill_denied", lambda *_: None)

    assert parsed(made.check(check_request("/nowhere"))).error_response.status.code == 503


@pytest.mark.parametrize("code", [ReasonCode.OVERLOADED, ReasonCode.DEADLINE_EXCEEDED])
def test_a_refusal_without_a_look_is_an_error_response_with_its_reason(code: ReasonCode) -> None:
    answer = checker(lambda: Snapshot(None)).refused(code, "too late")[0]

    assert parsed(answer).error_response.status.code == 503
    assert (metadata(answer)["reason_code"], metadata(answer)["reason"]) == (code.value, "too late")


def test_claims_never_reach_the_answer_beyond_subject_and_roles(engine: Engine) -> None:
    tokens = token(secret="hunter2", roles=["support"])

    answer = checker(lambda: Snapshot(engine)).check(check_request(tokens=tokens))

    assert b"hunter2" not in answer
    assert metadata(answer)["roles"] == "role:support"


def test_what_is_journalled_is_what_was_answered_with_the_requests_id(engine: Engine) -> None:
    request = ext_authz_pb2.CheckRequest.FromString(check_request())
    header = request.attributes.request.http.header_map.headers.add()
    header.key, header.raw_value = "x-request-id", b"id-1"

    checked = checker(lambda: Snapshot(engine)).checked(request.SerializeToString())
    # An entry: its own tag and length, the metadata's tag and length, then the metadata; each length two bytes.
    size = checked[1][4] & 0x7F | checked[1][5] << 7
    said, rest = checked[1][6 : 6 + size], checked[1][6 + size :]

    assert Struct.FromString(said) == parsed(checked[0]).dynamic_metadata
    assert rest[:-8] == b"\x12\x04id-1\x19"
    assert framing(checked[1]).whole(checked[1])
