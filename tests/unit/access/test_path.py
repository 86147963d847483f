from __future__ import annotations

import pytest

from access import BadPath, Target, normalise, readings, split


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        pytest.param("/", "/", id="root"),
        pytest.param("/a/b", "/a/b", id="normal already"),
        pytest.param("/a/b/", "/a/b/", id="a slash at the end stays"),
        pytest.param("/a//b///c", "/a/b/c", id="slashes are merged"),
        pytest.param("//a", "/a", id="two slashes at the start are no authority"),
        pytest.param("/a/./b", "/a/b", id="dot segment"),
        pytest.param("/a/b/../c", "/a/c", id="two dots"),
        pytest.param("/a/b/..", "/a/", id="two dots at the end"),
        pytest.param("/a/.", "/a/", id="one dot at the end"),
        pytest.param("/../a", "/a", id="nothing is above the root"),
        pytest.param("/a/.b/..c/...", "/a/.b/..c/...", id="dots in names are names"),
        pytest.param("/%41%7a%2D%5F%7e", "/Az-_~", id="unreserved characters are decoded"),
        pytest.param("/caf%c3%a9", "/caf%C3%A9", id="UTF-8 stays encoded, in upper case"),
        pytest.param("/a%20b", "/a%20b", id="an encoded space stays"),
        pytest.param("/bob%40example.com", "/bob%40example.com", id="reserved characters stay as they came"),
        pytest.param("/a:b@c!$&'()*+,=", "/a:b@c!$&'()*+,=", id="all that a segment may hold"),
        pytest.param("/orders.v1.Orders/GetOrder", "/orders.v1.Orders/GetOrder", id="gRPC"),
        pytest.param("/" + "a" * 8191, "/" + "a" * 8191, id="the longest"),
    ],
)
def test_a_path_has_one_normal_form(raw: str, expected: str) -> None:
    assert expected == normalise(raw)


@pytest.mark.parametrize(
    ("raw", "cause"),
    [
        pytest.param("", "not starting with a slash", id="empty"),
        pytest.param("*", "not starting with a slash", id="asterisk form"),
        pytest.param("a/b", "not starting with a slash", id="relative"),
        pytest.param("http://evil.example/a", "not starting with a slash", id="absolute form"),
        pytest.param("/a%2fb", "an encoded slash", id="encoded slash"),
        pytest.param("/a%2Fb", "an encoded slash", id="encoded slash, upper case"),
        pytest.param("/a%5cb", "an encoded backslash", id="encoded backslash"),
        pytest.param("/a/%2e%2e/b", "an encoded dot", id="encoded dots"),
        pytest.param("/a/.%2E/b", "an encoded dot", id="half encoded dots"),
        pytest.param("/a%252fb", "an encoded percent sign", id="encoded twice"),
        pytest.param("/a\\b", "a backslash", id="backslash"),
        pytest.param("/a;x=1/b", "a path parameter (semicolon)", id="path parameter"),
        pytest.param("/a/..;/b", "a path parameter (semicolon)", id="hidden dots"),
        pytest.param("/a%3bx", "an encoded semicolon", id="encoded semicolon"),
        pytest.param("/a%3fx", "an encoded question mark", id="encoded question mark"),
        pytest.param("/a%23x", "an encoded number sign", id="encoded number sign"),
        pytest.param("/a%00", "an encoded control character", id="encoded NUL"),
        pytest.param("/a%0d%0ab", "an encoded control character", id="encoded line break"),
        pytest.param("/a%7f", "an encoded control character", id="encoded DEL"),
        pytest.param("/a%c2%85", "an encoded control character", id="encoded C1 control"),
        pytest.param("/a%e2%80%a8", "an encoded control character", id="encoded line separator"),
        pytest.param("/a\x00b", "a control character", id="NUL"),
        pytest.param("/a\n", "a control character", id="line break at the end"),
        pytest.param("/a\tb", "a control character", id="tab"),
        pytest.param("/é", "a character outside ASCII that is not percent-encoded", id="not ASCII"),
        pytest.param("/\udcff", "a character outside ASCII that is not percent-encoded", id="raw byte"),
        pytest.param("/a%c3", "a percent-encoding that is not UTF-8", id="cut UTF-8"),
        pytest.param("/a%c0%af", "a percent-encoding that is not UTF-8", id="overlong slash"),
        pytest.param("/a%ed%a0%80", "a percent-encoding that is not UTF-8", id="surrogate"),
        pytest.param("/a%ef%bc%8fb", "a character that looks like a delimiter", id="full-width slash"),
        pytest.param(
            "/%ef%bc%8e%ef%bc%8e/b", "a character that looks like a delimiter", id="full-width dots"
        ),
        pytest.param("/a%", "a malformed percent-encoding", id="lone percent sign"),
        pytest.param("/a%4", "a malformed percent-encoding", id="one digit"),
        pytest.param("/a%zz", "a malformed percent-encoding", id="no digits"),
        pytest.param("/a%u002e", "a %u escape", id="%u"),
        pytest.param(
            "/a b", "the character ' ', which RFC 3986 does not allow in a path unencoded", id="space"
        ),
        pytest.param(
            "/a|b", "the character '|', which RFC 3986 does not allow in a path unencoded", id="bar"
        ),
        pytest.param("/a?b", "a query", id="query"),
        pytest.param("/a#b", "a fragment", id="fragment"),
        pytest.param("/a//../b", "an empty segment before a dot segment", id="order matters"),
        pytest.param("/" + "a" * 8192, "longer than 8192 bytes", id="overlong"),
    ],
)
def test_what_two_parsers_could_read_differently_is_refused(raw: str, cause: str) -> None:
    with pytest.raises(BadPath) as refused:
        normalise(raw)

    assert cause == refused.value.cause


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        pytest.param("/a", Target("/a", None), id="no query"),
        pytest.param("/a?", Target("/a", ""), id="empty query"),
        pytest.param("/a//b?x=/../y&z=%2f", Target("/a/b", "x=/../y&z=%2f"), id="the query stays as it came"),
        pytest.param("/a?b?c", Target("/a", "b?c"), id="the first question mark splits"),
    ],
)
def test_a_target_is_split_into_path_and_query(target: str, expected: Target) -> None:
    assert expected == split(target)


@pytest.mark.parametrize(
    ("target", "cause"),
    [
        pytest.param("/a#b", "a fragment", id="fragment"),
        pytest.param("/a?b#c", "a fragment", id="fragment behind the query"),
        pytest.param("/a?b\nc", "a control character in the query", id="line break in the query"),
    ],
)
def test_a_target_with_a_fragment_or_a_control_character_is_refused(target: str, cause: str) -> None:
    with pytest.raises(BadPath) as refused:
        split(target)

    assert cause == refused.value.cause


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        pytest.param("/a/b", ("/a/b",), id="one reading"),
        pytest.param("/a%20b/%C3%A9", ("/a%20b/%C3%A9",), id="escapes that cannot stand unencoded"),
        pytest.param("/t%3Arun", ("/t%3Arun", "/t:run"), id="a colon"),
        pytest.param("/%40%2A%2B%2C%3D%21", ("/%40%2A%2B%2C%3D%21", "/@*+,=!"), id="other delimiters"),
    ],
)
def test_a_path_has_a_second_reading_where_a_decoding_upstream_sees_another_one(
    path: str, expected: tuple[str, ...]
) -> None:
    assert expected == readings(path)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        pytest.param("/a;x=1/b", ("/a;x=1/b", "/a/b"), id="a parameter"),
        pytest.param("/a/b;", ("/a/b;", "/a/b"), id="an empty one"),
        pytest.param("/a;x/b%3Ac", ("/a;x/b%3Ac", "/a;x/b:c", "/a/b%3Ac", "/a/b:c"), id="all four readings"),
    ],
)
def test_where_parameters_are_let_in_the_policy_is_asked_without_them_too(
    raw: str, expected: tuple[str, ...]
) -> None:
    assert expected == readings(normalise(raw, parameters=True))


@pytest.mark.parametrize("raw", ["/a/..;/b", "/a/.;x/b", "/;x/b", "/a/;", "/a/%2e%2e;/b", "/a/b%3bx"])
def test_parameters_hide_no_segment(raw: str) -> None:
    with pytest.raises(BadPath):
        normalise(raw, parameters=True)
