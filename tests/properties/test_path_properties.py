"""The invariants of access.path, over paths that are hostile on purpose."""

from __future__ import annotations

import contextlib
import re
import string
from urllib.parse import unquote_to_bytes, urlsplit

import httpx
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from access import BadPath, normalise, plain_path, split
from access.path import MAX_BYTES

_PIECES = st.sampled_from(
    [
        *[
            "/",
            "//",
            ".",
            "..",
            "/./",
            "/../",
            "%2e",
            "%2F",
            "%5c",
            "%25",
            "%41",
            "%7e",
            "%c3%a9",
            "%C3",
            "%00",
            "%zz",
            "%",
            "%u002e",
            "%20",
            "%3a",
            "%40",
        ],
        *[";", "\\", "#", "|", "é", ":id", "*", "a", "b.c", "..a", "~"],
        *"\n\0 ",
    ]
)
HOSTILE = st.lists(_PIECES | st.text(max_size=3), max_size=12).map("".join)
PLAIN = st.lists(
    st.sampled_from(["a", "B", "a.b", "..a", "%41", "%c3%a9", "%20", "%3A", ".", "..", "x:y@z", "~_-"]),
    max_size=8,
).map(lambda segments: "/" + "/".join(segments))
PATHS = PLAIN | HOSTILE | HOSTILE.map(lambda path: "/" + path)

ACCEPTED = re.compile(r"(?:/(?:[A-Za-z0-9\-._~!$&'()*+,=:@]|%[0-9A-F]{2})*)+")


def accepted(raw: str) -> str:
    """The normalised path; a refused one ends the example."""
    try:
        return normalise(raw)
    except BadPath:
        assume(condition=False)
        raise


@given(PATHS)
def test_normalising_twice_changes_nothing(raw: str) -> None:
    path = accepted(raw)

    assert path == normalise(path)


@given(PATHS)
def test_an_accepted_path_has_no_dot_segment_and_no_empty_segment(raw: str) -> None:
    path = accepted(raw)

    assert path.startswith("/")
    assert "//" not in path
    assert not {".", ".."} & set(path.split("/"))


@given(PATHS)
def test_an_accepted_path_holds_only_rfc_3986_characters_and_upper_case_escapes(raw: str) -> None:
    assert ACCEPTED.fullmatch(accepted(raw))


@given(PATHS)
def test_an_rfc_3986_reader_resolves_to_the_same_path(raw: str) -> None:
    path = accepted(raw)

    assert path == rfc_3986(raw)


@given(PLAIN)
def test_plain_paths_are_accepted_and_mean_the_same_to_urllib_and_httpx(raw: str) -> None:
    path = accepted(raw)
    seen_by_httpx = httpx.URL(f"http://upstream{path}").raw_path

    assert path.encode() == seen_by_httpx
    assert path == urlsplit(f"http://upstream{path}").path
    assert unquote_to_bytes(path) == unquote_to_bytes(rfc_3986(raw))


@given(PATHS | st.text())
def test_nothing_but_bad_path_is_raised(raw: str) -> None:
    for read in (normalise, split):
        with contextlib.suppress(BadPath):
            read(raw)


@given(PATHS, st.text(string.ascii_letters + string.digits + "=&?/%.;", max_size=20))
def test_the_query_never_changes_the_path(raw: str, query: str) -> None:
    assume("?" not in raw)
    path = accepted(raw)
    target = split(f"{raw}?{query}")

    assert path == target.path
    assert query == target.query


@settings(max_examples=500)
@given(PATHS | st.text(), st.none() | st.text(max_size=8))
def test_a_plain_path_is_what_splitting_leaves_as_it_is(raw: str, query: str | None) -> None:
    target = raw if query is None else f"{raw}?{query}"

    found = plain_path(target)

    assert found in {None, target.partition("?")[0]}
    assert found is None or found == split(target).path


@pytest.mark.parametrize(
    "path",
    ["/", "/a", "/a/", "/.well-known/a", "/a/..b/c.d", "/...", "/a:b@c/~d-_e!f$g&h'i(j)k*l+m,n=o"],
)
def test_most_paths_are_plain(path: str) -> None:
    assert plain_path(path) == path
    assert plain_path(f"{path}?a=b/../c//d") == path


@pytest.mark.parametrize(
    "path",
    [
        "",
        "*",
        "a",
        "//",
        "/a//b",
        "/.",
        "/..",
        "/a/.",
        "/a/..",
        "/../a",
        "/a/./b",
        "/%41",
        "/a;b",
        "/a#b",
        "/ä",
    ],
)
def test_other_paths_are_not(path: str) -> None:
    assert plain_path(path) is None
    assert plain_path(f"{path}?a=b") is None


def test_a_path_that_is_too_long_is_not_plain() -> None:
    longest = "/" + "a" * (MAX_BYTES - 1)

    assert plain_path(longest) == longest
    assert plain_path(longest + "a") is None


@pytest.mark.parametrize("byte", range(256))
def test_every_escape_is_decoded_kept_or_refused(byte: int) -> None:
    kept = f"/a%{byte:02X}b"
    decoded = f"/a{chr(byte)}b"
    unreserved = chr(byte) in string.ascii_letters + string.digits + "-_~"
    try:
        path = normalise(kept.lower())
    except BadPath:
        assert byte < 0x20 or byte > 0x7E or chr(byte) in "/\\.%;?#"
    else:
        assert (decoded if unreserved else kept) == path


def rfc_3986(raw: str) -> str:
    """An independent reader: section 6.2.2 (case, unreserved), 5.2.4 as it is written there, slashes merged."""
    unreserved = string.ascii_letters + string.digits + "-._~"

    def decode(escape: re.Match[str]) -> str:
        character = chr(int(escape[1], 16))
        return character if character in unreserved else escape[0].upper()

    given_ = re.sub("%([0-9a-fA-F]{2})", decode, raw)
    output = ""
    while given_:
        if given_.startswith("../"):
            given_ = given_[3:]
        elif given_.startswith(("./", "/./")):
            given_ = given_[2:]
        elif given_ == "/.":
            given_ = "/"
        elif given_.startswith("/../") or given_ == "/..":
            given_ = "/" + given_[4:]
            output = output[: output.rfind("/")] if "/" in output else ""
        elif given_ in {".", ".."}:
            given_ = ""
        else:
            end = given_.find("/", 1)
            end = len(given_) if end < 0 else end
            output += given_[:end]
            given_ = given_[end:]
    return re.sub("/+", "/", output)
