"""A Check's header lines, read quickly: they say what they say to the general reader, or are left to it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from check_requests import (
    GOOD,
)
from familiar_checks import (
    ALICES,
    asked,
    checker,
    replaced,
    substance,
)

from extauthz import wire
from extauthz.shallow import varint
from extauthz.usual import Shallow, _four_values, usual_from


@pytest.mark.parametrize(
    ("line", "known"),
    [
        pytest.param(b"\x0a\x0cx-request-id\x1a\x03r-2", True, id="as Envoy writes it"),
        pytest.param(b"\x0a\x0cx-request-id\x1a\x83\x00r-2", True, id="a length in two bytes"),
        pytest.param(b"\x0a\x0cx-request-id\x1a\x83\x80\x00r-2", False, id="a length in three bytes"),
        pytest.param(b"\x1a\x03r-2\x0a\x0cx-request-id", False, id="the value before the name"),
        pytest.param(b"\x0a\x0cx-request-id\x12\x03r-2", False, id="a text as the value"),
        pytest.param(b"\x0a\x0cx-request-id\x1a\x03r-2\x12\x00", False, id="another field behind"),
        pytest.param(b"\x0a\x0cx-request-id\x1a\x02r-2", False, id="a length that is too small"),
        pytest.param(b"\x0a\x0cx-request-id\x1a\x04r-2", False, id="a length that is too large"),
        pytest.param(b"\x0a\x0cx-request-id\x1a\x00", False, id="an empty value"),
        pytest.param(b"\x0a\x0cx-request-id", False, id="no value"),
        pytest.param(b"\x0a", False, id="no length of a name"),
        pytest.param(b"", False, id="an empty line"),
    ],
)
def test_a_header_line_is_read_if_it_is_a_name_and_its_bytes_and_nothing_else(
    line: bytes, known: bool
) -> None:
    message = asked(request_id=b"r-1")
    usual_line = b"\x0a\x0cx-request-id\x1a\x03r-1"
    assert usual_line in message
    shorter = replaced(message, usual_line, line)

    found = usual_from(shorter)

    assert (found is not None) is known
    assert found is None or found[-1] == b"r-2"


def line(name: bytes, length: bytes, value: bytes) -> bytes:
    return b"\x0a" + bytes((len(name),)) + name + b"\x1a" + length + value


HOST, PATH, NAME = b"orders.example", b"/orders/1", b"r-1"
FOUR = (
    line(b":authority", b"\x0e", HOST),
    line(b":path", b"\x09", PATH),
    line(b"authorization", varint(len(ALICES)), ALICES),
    line(b"x-request-id", b"\x03", NAME),
)


def of_lines(lines: Sequence[bytes]) -> bytes:
    request = Shallow.FromString(asked(tokens=GOOD, authorization=[ALICES]))
    request.attributes.request.http.header_map.headers[:] = lines
    return bytes(request.SerializeToString())


def with_token(value: bytes) -> bytes:
    return line(b"authorization", varint(len(value)), value)


# Of four lines as of nearly all requests one that is another, and whether all four are read in one step.
FOURS = [
    pytest.param(0, FOUR[0], True, id="as nearly all"),
    pytest.param(0, line(b":authority", b"\x8e\x00", HOST), False, id="a host's length in two bytes"),
    pytest.param(0, line(b":authority", b"\x0d", HOST), False, id="a host's length too small"),
    pytest.param(0, line(b":authority", b"\x0f", HOST), False, id="a host's length too large"),
    pytest.param(0, line(b":authority", b"\x0e", HOST) + b"\x12\x00", False, id="a field behind the host"),
    pytest.param(0, line(b":authority", b"\x00", b""), False, id="no host"),
    pytest.param(0, line(b":authoritx", b"\x0e", HOST), False, id="a name that is not the host's"),
    pytest.param(0, line(b":authority", b"\x0e", b"orders.examplf"), True, id="another host than Envoy's"),
    pytest.param(1, line(b":path", b"\x08", PATH), False, id="a path's length too small"),
    pytest.param(1, line(b":path", b"\x0a", PATH), False, id="a path's length too large"),
    pytest.param(1, line(b":path", b"\x00", b""), False, id="no path"),
    pytest.param(1, line(b":path", b"\x7f", b"/" + b"a" * 126), True, id="a path of 127 bytes"),
    pytest.param(1, line(b":path", b"\x80\x01", b"/" + b"a" * 127), False, id="a path of 128 bytes"),
    pytest.param(1, line(b":path", b"\x09", PATH) + b"\x0a\x00", False, id="a field behind the path"),
    pytest.param(
        2, line(b"authorization", b"\x80\x00", b""), False, id="an empty token's length in two bytes"
    ),
    pytest.param(2, line(b"authorization", b"\x85\x00", b"Basic"), False, id="a short one's in two bytes"),
    pytest.param(2, line(b"authorization", b"\x00", b""), False, id="an empty token"),
    pytest.param(2, with_token(b"a" * 127), False, id="a token of 127 bytes"),
    pytest.param(2, with_token(b"a" * 128), True, id="a token of 128 bytes"),
    pytest.param(2, with_token(b"a" * 16_383), True, id="a token of 16,383 bytes"),
    pytest.param(2, with_token(b"a" * 16_384), False, id="a token of 16,384 bytes"),
    pytest.param(2, with_token(ALICES) + b"x", False, id="a byte behind the token"),
    pytest.param(2, with_token(ALICES)[:-1], False, id="a byte of the token missing"),
    pytest.param(2, line(b"authorization", varint(len(ALICES) + 128), ALICES), False, id="128 bytes missing"),
    # As a length of two bytes it would be the whole line's.
    pytest.param(
        2,
        line(b"authorization", b"\x05", b"\x02aaaa\x22\x7f" + bytes(127)),
        False,
        id="a short token, and a field behind it",
    ),
    pytest.param(2, b"", False, id="an empty line"),
    pytest.param(2, b"\x0a\x0dauthorization\x1a", False, id="no length"),
    pytest.param(3, line(b"x-request-id", b"\x04", NAME), False, id="an id's length too large"),
    pytest.param(3, line(b"x-request-id", b"\x02", NAME), False, id="an id's length too small"),
    pytest.param(3, line(b"x-request-id", b"\x00", b""), False, id="no id"),
    pytest.param(3, line(b"x-request-ie", b"\x03", NAME), False, id="a name that is not the id's"),
]


def is_read_at_once(lines: list[bytes]) -> bool:
    try:
        return _four_values(lines) is not None
    except IndexError:
        return False


@pytest.mark.parametrize(("place", "other", "at_once"), FOURS)
def test_four_lines_are_read_in_one_step_where_that_is_what_they_say(
    place: int, other: bytes, at_once: bool
) -> None:
    lines = [*FOUR[:place], other, *FOUR[place + 1 :]]
    message = of_lines(lines)

    assert is_read_at_once(lines) is at_once
    found = usual_from(message)
    if found is not None:
        known = wire.asked_from(message)
        assert [text.encode("latin-1") for text in known.authorization] == [found[2]]
        assert (known.host, known.target, known.request_id.encode()) == (found[4], found[5], found[6])
        assert not known.hosts or known.hosts == (found[4],)


@pytest.mark.parametrize(("place", "other", "_"), FOURS)
def test_a_checker_that_has_seen_others_answers_such_lines_as_one_that_has_not(
    place: int, other: bytes, _: bool
) -> None:
    remembers = checker()
    for each in (asked(tokens={}, authorization=[]), asked(tokens=GOOD, authorization=[ALICES])):
        remembers.checked(each)
    message = of_lines([*FOUR[:place], other, *FOUR[place + 1 :]])

    for _ in range(2):
        assert substance(remembers.checked(message)) == substance(checker().checked(message))
