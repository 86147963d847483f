"""What is looked at many at a time is found as if looked at one by one."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from policy_texts import model_text

from extauthz.engine import Source, load
from extauthz.engine.finding import Report
from extauthz.engine.http_lint import _path_problem
from extauthz.engine.lint import checked_pattern
from extauthz.engine.reading import TAME, misreading
from extauthz.engine.rows import table_of

PIECES = [
    "/",
    "/",
    "a",
    "b1",
    ":id",
    "{id}",
    ":",
    "*",
    "/*",
    ".",
    "..",
    "|",
    "{",
    "a b",
    "%",
    "%2F",
    "#",
    "~",
    "(",
]


@pytest.mark.parametrize("function", TAME)
@settings(max_examples=200, deadline=None)
@given(parts=st.lists(st.sampled_from(PIECES), max_size=7))
@example(parts=[])
@example(parts=["/"])
def test_a_tame_pattern_has_no_finding(function: str, parts: list[str]) -> None:
    pattern = "".join(parts)
    if TAME[function].fullmatch(pattern):
        assert not checked_pattern(function, pattern)
        assert misreading(function, pattern) is None
        assert _path_problem(function, pattern) is None


@pytest.mark.parametrize("function", TAME)
@settings(max_examples=100, deadline=None)
@given(patterns=st.lists(st.lists(st.sampled_from(PIECES), max_size=5).map("".join), min_size=1, max_size=5))
def test_patterns_together_are_tame_if_each_is(function: str, patterns: list[str]) -> None:
    each = all(TAME[function].fullmatch(pattern) for pattern in patterns)

    assert (TAME[function].fullmatch("\n".join(patterns)) is not None) is each


@pytest.mark.parametrize("function", TAME)
@pytest.mark.parametrize("pattern", ["/", "/*", "/a", "/a/", "/a-b_c/x~y@z", "/a/*"])
def test_everyday_patterns_are_tame(function: str, pattern: str) -> None:
    assert TAME[function].fullmatch(pattern)


LINES = st.lists(
    st.sampled_from(
        [
            "p, a, /x, GET, allow",
            "p,a,/x,GET,allow",
            "p, a, /x, GET",
            "p, a, , GET, allow",
            "p, a, /x, GET, allow, more",
            'p, "a", /x, GET, allow',
            "p, a,/x",
            "p, ",
            "p,,",
            "p",
            "",
            "# p, a",
            "g, a, role:b",
            "g,a,role:b",
        ]
    ),
    max_size=12,
)


@settings(max_examples=150, deadline=None)
@given(
    lines=LINES,
    alike=st.sampled_from(["", "p, a, /x, GET, allow", "g,a,role:b"]),
    count=st.sampled_from([0, 1, 300]),
)
@example(lines=["p, a, /x, GET", "p, a, /x, GET, allow, more"], alike="p, a, /x, GET, allow", count=1)
def test_a_line_is_read_alike_whatever_stands_beside_it(lines: list[str], alike: str, count: int) -> None:
    every = [*[alike] * count, *lines]
    report = Report("", [])

    table = table_of("\n".join(every), report)

    found = []
    for number, line in enumerate(every, start=1):
        alone = table_of(line, Report("", []))
        found += [(number, *row) for row in zip(alone.ptypes, alone.records, alone.texts, strict=True)]
    assert list(zip(table.lines, table.ptypes, table.records, table.texts, strict=True)) == found


@pytest.mark.parametrize(
    ("row", "code"),
    [
        pytest.param("p, a, /x, GET, alow", "effect", id="an effect"),
        pytest.param("p, a, /x/(, GET, allow", "brackets", id="a bracket"),
        pytest.param("p, a, /x/[b-a], GET, allow", "pattern", id="a pattern"),
        pytest.param("p, a, /x|/y, GET, allow", "misread", id="a bar"),
        pytest.param("p, a, x, GET, allow", "path", id="a path"),
        pytest.param("p, a, /x, GIT, allow", None, id="nothing"),
        pytest.param("p, a, /x, get, allow", "action", id="an action"),
        pytest.param("p, a, /x, GET", "arity", id="a field too few"),
        pytest.param("q, a, /x, GET, allow", "ptype", id="a first word"),
        pytest.param("p, a, /t7, GET, allow", "duplicate", id="a rule twice"),
        pytest.param("g, u7, role:r", "duplicate", id="a link twice"),
        pytest.param("g, u7, r", "role", id="a role"),
    ],
)
@pytest.mark.parametrize("at", [0, 255, 256, 300, 600])
def test_one_row_among_hundreds_is_found_in_its_line(row: str, code: str | None, at: int) -> None:
    rows = [f"p, a, /t{number}, GET, allow" for number in range(300)]
    rows += [f"g, u{number}, role:r" for number in range(300)]
    rows.insert(at, row)
    model = model_text(matcher="g(r.sub, p.sub) && keyMatch2(r.obj, p.obj) && r.act == p.act")

    findings = load(
        Source("model.conf", "policy.csv", model.encode(), "\n".join(rows).encode()),
        ("subject", "resource", "action"),
    )[1]

    told = {(finding.line, finding.code) for finding in findings}
    # Of two equal rows the later one is told.
    first = {"p, a, /t7, GET, allow": 8, "g, u7, role:r": 308}.get(row, 0)
    line = max(at + 1, first + (at < first))

    assert {line for line, _ in told} == ({line} if code else set())
    assert not code or (line, code) in told
