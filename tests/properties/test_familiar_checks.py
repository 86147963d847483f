"""What a Checker remembers makes it quicker, and nothing else: its answers are those of one that remembers nothing."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path
from typing import Any

import pytest
import structlog
from check_answers import ATTRIBUTES, SAMPLE_ENGINE
from check_requests import (
    GOOD,
    JWT,
    NO_TOKEN,
    parsed,
    token,
)
from familiar_checks import (
    ALICES,
    ZOES,
    asked,
    checker,
    code_of,
    many_things_else,
    one_thing_else,
    substance,
    usual,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from policy_texts import SAMPLE

from extauthz import check, familiar, wire
from extauthz.check import Checker
from extauthz.decide import Rules, Snapshot
from extauthz.engine import Engine, Verdict
from extauthz.identity_settings import IdentitySettings, Issuer, TokenHeader
from extauthz.shallow import varint
from extauthz.usual import NAMES, Shallow, usual_from
from protos.gen import ext_authz_pb2


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(usual, one_thing_else, many_things_else), min_size=2, max_size=20))
def test_answers_are_those_of_a_checker_that_remembers_nothing(messages: list[bytes]) -> None:
    remembers = checker()

    for message in messages:
        assert substance(remembers.checked(message)) == substance(checker().checked(message))


@settings(max_examples=100, deadline=None)
@given(usual, st.data())
def test_bytes_that_are_nearly_a_familiar_check_are_read_as_by_a_checker_that_remembers_nothing(
    message: bytes, data: st.DataObject
) -> None:
    remembers = checker()
    remembers.checked(message)
    damaged = bytearray(message)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(damaged) - 1))
        piece = data.draw(
            st.one_of(st.binary(max_size=2), st.sampled_from([bytes(damaged[at : at + 40])] * 2))
        )
        damaged[at : at + data.draw(st.integers(0, 2))] = piece

    assert substance(remembers.checked(bytes(damaged))) == substance(checker().checked(bytes(damaged)))


def test_a_policy_that_is_not_compiled_answers_familiar_checks(tmp_path: Path) -> None:
    model = tmp_path / "model.conf"
    text = (SAMPLE / "model.conf").read_text()
    # A sum, which the compiler leaves to pycasbin.
    model.write_text(text.replace("keyMatch(r.act, p.act)", "keyMatch(r.act, p.act) && r.sub + p.sub != ''"))
    engine = Engine.from_files(model, SAMPLE / "policy.csv", ATTRIBUTES)
    assert engine.mode == "pycasbin"
    remembers = checker(Snapshot(engine))
    messages = [asked(), asked(path="/admin/users", service="admin"), asked(method="POST")]

    for each in messages * 2:
        assert substance(remembers.checked(each)) == substance(checker(Snapshot(engine)).checked(each))
        known = usual_from(each)
        assert known
        assert remembers._familiar.answered(known, Snapshot(engine), 0)


@pytest.mark.parametrize(
    ("message", "code"),
    [
        pytest.param(asked(), "rule_allow", id="allowed"),
        pytest.param(asked(path="/admin/users", service="admin"), "no_matching_rule", id="denied"),
        pytest.param(asked(tokens=NO_TOKEN), "invalid_credential", id="not verified"),
    ],
)
def test_what_came_before_is_not_looked_at_as_a_whole_again(
    message: bytes, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    remembers = checker()
    first = remembers.checked(message)

    monkeypatch.setattr(check, "decide", lambda *_: pytest.fail("the general way"))

    assert code_of(first) == code
    if code == "invalid_credential":
        with pytest.raises(pytest.fail.Exception):
            remembers.checked(message)
    else:
        assert substance(first) == substance(remembers.checked(message))


def test_a_new_policy_is_asked_at_once_and_named_in_its_answers(tmp_path: Any) -> None:
    policy = tmp_path / "policy.csv"
    policy.write_text((SAMPLE / "policy.csv").read_text() + "p, zoe, orders, /orders/:id, GET, allow\n")
    now = [Snapshot(SAMPLE_ENGINE)]
    issuers = (Issuer(name="demo", roles=("*",)),)
    identity = IdentitySettings(issuers=issuers)
    one = Checker(identity, Rules(ATTRIBUTES), lambda: now[0], lambda *_: None, structlog.get_logger())
    before = [code_of(one.checked(asked())) for _ in range(2)]
    replacement = Engine.from_files(SAMPLE / "model.conf", policy, ATTRIBUTES)
    now[0] = Snapshot(replacement)
    after = [one.checked(asked()) for _ in range(2)]
    versions = {parsed(each[0]).dynamic_metadata["policy_version"] for each in after}
    now[0] = Snapshot(None)
    without = code_of(one.checked(asked()))

    assert before == ["rule_allow", "rule_allow"]
    assert [code_of(each) for each in after] == ["rule_allow", "rule_allow"]
    assert versions == {replacement.version}
    assert without == "policy_unavailable"


def test_what_a_subject_is_by_one_policy_counts_for_nothing_by_another(tmp_path: Path) -> None:
    def engine(member: str) -> Engine:
        policy = tmp_path / f"{member}.csv"
        policy.write_text(f"p, role:reader, orders, /orders/:id, GET, allow\ng, {member}, role:reader\n")
        return Engine.from_files(SAMPLE / "model.conf", policy, ATTRIBUTES)

    alices, zoes = Snapshot(engine("alice")), Snapshot(engine("zoe"))
    now = [alices]
    one = Checker(
        IdentitySettings(issuers=(Issuer(name="demo"),)),
        Rules(ATTRIBUTES),
        lambda: now[0],
        lambda *_: None,
        structlog.get_logger(),
    )
    told = []
    for now[0] in (alices, zoes, alices):
        told += [code_of(one.checked(asked(tokens=token(name)))) for name in ("alice", "zoe") * 2]

    reader, other = "rule_allow", "no_matching_rule"
    assert told == [reader, other] * 2 + [other, reader] * 2 + [reader, other] * 2


def test_what_a_rule_means_to_anonymous_is_kept_beside_what_it_means_to_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = tmp_path / "policy.csv"
    policy.write_text("p, anonymous, orders, /orders/1, GET, deny\np, alice, orders, /orders/1, GET, deny\n")
    decided = Snapshot(Engine.from_files(SAMPLE / "model.conf", policy, ATTRIBUTES))
    remembers = checker(decided)
    messages = [asked(path="/orders/2"), asked(path="/orders/2", tokens={}, authorization=[])]
    general = [substance(checker(decided).checked(each)) for each in messages]
    first = [substance(remembers.checked(each)) for each in messages]

    monkeypatch.setattr(check, "decide", lambda *_: pytest.fail("the general way"))

    assert first == general
    assert [substance(remembers.checked(each)) for each in messages] == general


def test_verdicts_of_earlier_policies_are_let_go_two_for_each_new_one() -> None:
    verdicts = [Verdict(allowed=True, reason_code="rule_allow", line=line) for line in range(1, 7)]

    def references() -> list[int]:
        return [sys.getrefcount(verdict) for verdict in verdicts]

    before = references()
    learned = familiar._Learned()
    for line in range(6):
        learned.add(verdicts[line])

    learned.new_policy()
    for line in (7, 8):
        learned.add(Verdict(allowed=True, reason_code="rule_allow", line=line))

    assert references() == [*before[:4], before[4] + 1, before[5] + 1]


def test_so_many_roles_that_only_the_policy_may_keep_them_are_not_kept_with_who_has_them(
    tmp_path: Path,
) -> None:
    policy = tmp_path / "policy.csv"
    roles = "".join(f"g, alice, role:{number}\n" for number in range(40))
    policy.write_text(f"p, role:7, orders, /orders/:id, GET, allow\ng, zoe, role:7\n{roles}")
    engine = Engine.from_files(SAMPLE / "model.conf", policy, ATTRIBUTES)

    assert engine.held("zoe", ()) is not None
    assert engine.held("alice", ()) is None
    assert engine.verdict(("alice", "orders", "/orders/1", "GET"), ()).allowed


def test_what_is_kept_of_rules_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(familiar, "_MAX_RULES", 3)
    policy = tmp_path / "policy.csv"
    policy.write_text("".join(f"p, alice, orders, /orders/{number}, GET, allow\n" for number in range(6)))
    engine = Engine.from_files(SAMPLE / "model.conf", policy, ATTRIBUTES)
    remembers = checker(Snapshot(engine))
    for number in (*range(6), *range(6)):
        assert code_of(remembers.checked(asked(path=f"/orders/{number}"))) == "rule_allow"

    kept = [number for number, verdict in enumerate(engine.rules.verdicts) if verdict.kept]

    assert kept == [3, 4, 5]


def test_a_second_line_with_the_host_is_refused_though_both_say_the_same() -> None:
    remembers = checker()
    familiar = [code_of(remembers.checked(asked())) for _ in range(2)]

    assert familiar == ["rule_allow", "rule_allow"]
    assert code_of(remembers.checked(asked(more=[("host", b"orders.example")]))) == "bad_request"


def test_a_token_behind_another_word_is_not_taken_for_one_that_came_before() -> None:
    """Two headers with the same verified claims, of which one holds more than the token."""
    remembers = checker(name="authorization", prefix="Bearer a")
    good = asked(tokens=token("alice", roles=["customer"]))
    request = ext_authz_pb2.CheckRequest.FromString(good)
    (line,) = (
        each for each in request.attributes.request.http.header_map.headers if each.key == "authorization"
    )
    line.raw_value = b"Bearer bb.cc"

    assert usual_from(good) is not None
    assert code_of(remembers.checked(good)) == "rule_allow"
    assert code_of(remembers.checked(request.SerializeToString())) == "invalid_credential"


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(b"Bearer aa.bb.cc, Basic eA", id="two credentials"),
        pytest.param(b"Bearer ", id="no token"),
        pytest.param(b"bearer aa.bb.cc", id="another scheme"),
        pytest.param(b"Basic QWxpY2U6eA", id="a password"),
        pytest.param(b"Bearer aa.bb.c\x80", id="a byte that no token has"),
    ],
)
def test_who_came_with_a_token_is_not_believed_when_something_else_stands_there(other: bytes) -> None:
    """Envoy's metadata is the same each time: what came with it decides."""
    remembers = checker()
    tokens = [asked(authorization=[each]) for each in (b"Bearer aa.bb.cc", b"Bearer aa.bb.dd")]

    before = [code_of(remembers.checked(each)) for each in (*tokens, *tokens)]
    refused = [code_of(remembers.checked(asked(authorization=[other]))) for _ in range(2)]
    after = [code_of(remembers.checked(each)) for each in tokens]

    assert {*before, *after} == {"rule_allow"}
    assert {*refused} == {"invalid_credential"}


def test_an_overlong_token_is_not_kept() -> None:
    remembers = checker()
    long = asked(authorization=[b"Bearer " + b"a" * 10_000])

    told = [code_of(remembers.checked(each)) for each in (asked(), long, long)]

    assert {*told} == {"rule_allow"}
    assert all(len(who.authorization) < 10_000 for who in remembers._familiar._who.values() if who)


def in_order(tokens: dict[str, str]) -> bytes:
    """A Check with jwt_authn's word for a good token of alice's, its fields in this order."""
    fields = b"".join(wire.metadata_entry(name, value) for name, value in tokens.items())
    header = message(5, fields)
    verified = message(1, message(1, b"demo.header") + message(2, header))
    said = message(1, message(1, JWT.encode()) + message(2, verified))
    request = Shallow.FromString(asked(tokens=GOOD, authorization=[ALICES]))
    request.attributes.metadata_context[:] = [said]
    return bytes(request.SerializeToString())


def message(number: int, content: bytes) -> bytes:
    return bytes((number << 3 | 2,)) + varint(len(content)) + content


def test_who_asks_is_known_in_whatever_order_envoy_says_it() -> None:
    """Envoy writes the fields of a map in any order, another one each time."""
    fields = {"alg": "RS256", "kid": "1", "typ": "JWT"}
    orders = [in_order(dict(order)) for order in itertools.permutations(fields.items())]
    remembers = checker()

    told = [code_of(remembers.checked(each)) for each in orders * 2]

    assert {*told} == {"rule_allow"}
    assert len({*orders}) == 6
    assert remembers._familiar._who.size == 1
    familiar = [usual_from(each) for each in orders]
    assert all(one and remembers._familiar.answered(one, Snapshot(SAMPLE_ENGINE), 0) for one in familiar)


def test_tokens_that_end_alike_are_two() -> None:
    """Who asks is looked for by the end of the token, and believed only by all of it."""
    remembers = checker()
    alices, zoes = (asked(tokens=GOOD, authorization=[each]) for each in (ALICES, ZOES))
    assert ALICES[-32:] == ZOES[-32:]

    for each in (alices, zoes, alices, zoes, zoes, alices):
        assert substance(remembers.checked(each)) == substance(checker().checked(each))


@pytest.mark.parametrize("name", sorted({*NAMES} - {"authorization"}))
def test_no_other_of_the_usual_headers_may_hold_a_token(name: str) -> None:
    with pytest.raises(ValueError, match="the name of a request header that nothing else uses"):
        Issuer(name="demo", headers=(TokenHeader(name=name),))
