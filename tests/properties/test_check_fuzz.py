"""CheckRequests as bytes, damaged in every way: an answer each time, and never an allowance by accident.

`make fuzz` sets FUZZ_CHECKS, and with it runs as many examples.
"""

from __future__ import annotations

import os

from check_answers import answered, assert_sound
from check_requests import allows, check_request, deep_request, failure, token
from hypothesis import given, settings
from hypothesis import strategies as st

EXAMPLES = int(os.environ.get("FUZZ_CHECKS", "200"))
BEARER = [("authorization", b"Bearer x.y.z"), ("x-request-id", b"r-1")]
SEEDS = [
    check_request(headers=BEARER),
    check_request("/orders/1;v=2", headers=BEARER),
    check_request("/orders/a%3Ab", headers=BEARER, joined_headers={"host": "x"}),
    check_request("/admin", tokens=token("erin", roles=["admin"]), service="admin"),
    check_request("/orders/health", tokens=failure("Jwt is expired")),
    check_request(headers=[(":path", b"/orders/1"), (":authority", b"h"), ("connection", b"upgrade")]),
    check_request(tokens={"demo": {"sub": "alice", "deep": {"a": [{"b": {"c": [1, None, True]}}]}}}),
    deep_request(30),
    deep_request(60),
]
EDITS = st.lists(
    st.one_of(
        st.tuples(st.just("set"), st.floats(0, 1), st.integers(0, 255)),
        st.tuples(st.just("cut"), st.floats(0, 1), st.integers(1, 40)),
        st.tuples(st.just("double"), st.floats(0, 1), st.integers(1, 40)),
        st.tuples(st.just("put"), st.floats(0, 1), st.binary(min_size=1, max_size=12)),
    ),
    max_size=5,
)


def damaged(message: bytes, edits: list[tuple[str, float, int | bytes]]) -> bytes:
    out = bytearray(message)
    for kind, where, what in edits:
        at = int(where * max(0, len(out) - 1))
        if isinstance(what, bytes):
            out[at:at] = what
        elif kind == "set" and out:
            out[at] = what
        elif kind == "cut":
            del out[at : at + what]
        elif kind == "double":
            out[at:at] = out[at : at + what]
    return bytes(out)


@settings(max_examples=EXAMPLES)
@given(seed=st.sampled_from(SEEDS), edits=EDITS, path_parameters=st.booleans())
def test_a_damaged_check_is_answered_and_allows_nothing_that_the_policy_did_not(
    seed: bytes, edits: list[tuple[str, float, int | bytes]], path_parameters: bool
) -> None:
    assert_sound(*answered(damaged(seed, edits), path_parameters=path_parameters))


@settings(max_examples=EXAMPLES)
@given(
    one=st.sampled_from(SEEDS), other=st.sampled_from(SEEDS), cut=st.tuples(st.floats(0, 1), st.floats(0, 1))
)
def test_halves_of_two_checks_are_answered_too(one: bytes, other: bytes, cut: tuple[float, float]) -> None:
    message = one[: int(cut[0] * len(one))] + other[int(cut[1] * len(other)) :]

    assert_sound(*answered(message))


def test_the_seeds_are_allowed_and_denied() -> None:
    """Else the fuzz would look at refusals only."""
    assert {allows(answered(seed)[0]) for seed in SEEDS} == {True, False}
