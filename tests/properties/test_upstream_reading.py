"""What the policy saw is what real upstreams resolve: each framework's own parser and router, in process."""

from __future__ import annotations

from urllib.parse import unquote

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from upstream_readers import READERS, flask_route, rfc_3986, starlette_route

from access import BadPath, readings, split

PIECES = st.sampled_from(
    [
        *[
            "/",
            "/./",
            "/../",
            "//",
            ".",
            "..",
            "a",
            "b.c",
            "..x",
            "~",
            ":id",
            "*",
            "+",
            "@",
            "$&",
            "'",
            "(x)",
        ],
        *["%41", "%7e", "%20", "%c3%a9", "%E2%80%AE", "%3A", "%40", "%2A", "%22", "%5B", "%7C", "%60"],
        *[
            "%2e",
            "%2F",
            "%5c",
            "%25",
            "%252e",
            "%00",
            "%0a",
            "%3b",
            "%c0%ae",
            "%ef%bc%8f",
            "%zz",
            "%",
            "%u002e",
        ],
        *[";", ";x=1", "..;", ";/..", "\\", "#", "?", "é", " "],
    ]
)
TARGETS = st.lists(PIECES, max_size=10).map(lambda parts: "/" + "".join(parts))


def accepted(target: str, *, parameters: bool = False) -> str:
    """The path that the policy sees; a refused one ends the example."""
    try:
        return split(target, parameters=parameters).path
    except BadPath:
        assume(condition=False)
        raise


@pytest.mark.parametrize("framework", READERS)
@given(target=TARGETS)
def test_what_the_policy_saw_is_what_a_framework_reads(framework: str, target: str) -> None:
    path = accepted(target)
    meant = {rfc_3986(reading) for reading in readings(path)}

    assert READERS[framework](path) in meant
    assert not {".", ".."} & set(READERS[framework](path))


@given(target=TARGETS)
def test_one_segment_to_the_policy_is_one_segment_to_a_router(target: str) -> None:
    path = accepted(target)
    segments = path.split("/")[1:]
    one = len(segments) == 2 and segments[0] == "orders" and segments[1] != ""
    expected = {"id": unquote(segments[1])} if one else None

    assert starlette_route(path, "/orders/{id}") == expected
    assert flask_route(path, "/orders/{id}") == expected


@given(target=st.lists(PIECES, max_size=6).map(lambda parts: "/orders/" + "".join(parts)))
def test_a_router_below_a_folder_agrees_too(target: str) -> None:
    test_one_segment_to_the_policy_is_one_segment_to_a_router.hypothesis.inner_test(target)  # type: ignore[attr-defined]


@given(target=TARGETS)
def test_with_parameters_both_readings_are_asked_about(target: str) -> None:
    path = accepted(target, parameters=True)
    bare = "/".join(segment.partition(";")[0] for segment in path.split("/"))

    assert path in readings(path)
    assert bare in readings(path)
    for reading in readings(path):
        assert not {"", ".", ".."} & set(reading.split("/")[1:-1])
    assert {reader(path) for reader in READERS.values()} <= {rfc_3986(reading) for reading in readings(path)}


@given(target=TARGETS)
def test_the_setting_changes_nothing_for_paths_without_parameters(target: str) -> None:
    assume(";" not in target)
    path = accepted(target)

    assert path == accepted(target, parameters=True)


@given(target=TARGETS)
def test_a_reader_that_decodes_twice_finds_nothing_more(target: str) -> None:
    path = accepted(target)

    assert unquote(path) == unquote(unquote(path))
