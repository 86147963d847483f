"""Strict loading: what pycasbin drops or misreads without a word is a finding with its line."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest
from policy_texts import ALLOW_OVERRIDE, DENY_OVERRIDE, PRIORITY, SAMPLE, SUBJECT_PRIORITY, model_text, source

from extauthz.engine import Engine, PolicyError, load, read
from extauthz.engine.reference import matching_functions

GOOD = "p, alice, /a, GET, allow\n"
HTTP = ("subject", "resource", "action")


def findings(
    policy: str | bytes, model: str | bytes | None = None, request: tuple[str, ...] | None = None
) -> list[str]:
    return [str(finding) for finding in load(source(policy, model), request)[1]]


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        pytest.param(
            "p, alice, /a\n",
            "policy.csv:1: error[arity]: 2 fields, the model's p wants 4 (sub, obj, act, eft)",
            id="a cut row",
        ),
        pytest.param(
            GOOD + "p, alice, /a, GET, allow,\n",
            "policy.csv:2: error[arity]: 5 fields, the model's p wants 4 (sub, obj, act, eft)",
            id="a comma at the end",
        ),
        pytest.param(
            "# note\n\ng, alice\n" + GOOD,
            "policy.csv:3: error[arity]: 1 field, the model's g wants 2 (name, role)",
            id="a g row without a role",
        ),
        pytest.param(
            GOOD + "g, alice, role:a, domain\n",
            "policy.csv:2: error[arity]: 3 fields, the model's g wants 2 (name, role)",
            id="a g row with a domain that the model has not",
        ),
        pytest.param(
            GOOD + "P, alice, /a, GET, allow\n",
            "policy.csv:2: error[ptype]: a row must begin with one of p, g, this one with 'P'",
            id="a capital P",
        ),
        pytest.param(
            GOOD + "p9, alice, /a, GET, allow\n",
            "policy.csv:2: error[ptype]: a row must begin with one of p, g, this one with 'p9'",
            id="p9",
        ),
        pytest.param(
            GOOD + "g2, a, b\n",
            "policy.csv:2: error[ptype]: a row must begin with one of p, g, this one with 'g2'",
            id="a g2 row in a model without g2",
        ),
        pytest.param(
            "p, alice, /a, GET, Deny\n",
            "policy.csv:1: error[effect]: 'Deny' is neither allow nor deny; Casbin ignores such a row",
            id="Deny",
        ),
        pytest.param(
            "p, alice, /a, GET, alow\n",
            "policy.csv:1: error[effect]: 'alow' is neither allow nor deny; Casbin ignores such a row",
            id="alow",
        ),
        pytest.param(
            b"\xef\xbb\xbf" + GOOD.encode(),
            "policy.csv:1: error[bom]: a byte order mark, which hides the first line from Casbin; "
            "save as UTF-8 without BOM",
            id="byte order mark",
        ),
        pytest.param(
            GOOD.encode() + b"p, al\xffce, /a, GET, allow\n",
            "policy.csv:2: error[encoding]: byte 0xff is not UTF-8; save as UTF-8",
            id="not UTF-8",
        ),
        pytest.param(
            GOOD + "p, al\0ice, /a, GET, allow\n",
            "policy.csv:2: error[nul]: a NUL character; is the file cut or damaged?",
            id="NUL",
        ),
        pytest.param(
            'p, "alice, /a, GET, allow\n',
            "policy.csv:1: error[quotes]: a quote that is never closed",
            id="an open quote",
        ),
        pytest.param(
            'p, al"ice, /a, GET, allow\n',
            "policy.csv:1: error[quotes]: a quote inside a field; quote the whole field",
            id="a quote inside",
        ),
        pytest.param(
            'p, "alice"x, /a, GET, allow\n',
            "policy.csv:1: error[quotes]: text after a closing quote; quote the whole field",
            id="text behind a quote",
        ),
        pytest.param(
            "p, alice, /a(b, GET, allow\n",
            "policy.csv:1: error[brackets]: a bracket that is never closed (')' is missing)",
            id="an open bracket, which swallows commas",
        ),
        pytest.param(
            "p, alice, /a)b, GET, allow\n",
            "policy.csv:1: error[brackets]: a ')' that closes nothing; quote the field",
            id="a closing bracket",
        ),
        pytest.param(
            "p, alice, /a, GET, allow # for now\n",
            "policy.csv:1: error[comment]: a comment behind a row becomes part of its last field; "
            "give it a line of its own",
            id="a comment behind a row",
        ),
        pytest.param(
            "p, alice, /a, GET, allow#now\n",
            "policy.csv:1: error[comment]: a comment behind a row becomes part of its last field; "
            "give it a line of its own",
            id="a comment glued to a field",
        ),
        pytest.param(
            "p, ali\u200bce, /a, GET, allow\n",
            "policy.csv:1: error[control]: the invisible character U+200B; remove it",
            id="zero-width space",
        ),
        pytest.param(
            "p, *, /a, GET, allow\n",
            "policy.csv:1: error[subject]: '*' is no subject and matches nobody; for everyone write role:everyone",
            id="everyone",
        ),
    ],
)
def test_a_row_that_casbin_would_misread_is_refused(policy: str | bytes, expected: str) -> None:
    assert [expected] == findings(policy)


def test_all_findings_come_at_once_in_the_order_of_the_lines() -> None:
    policy = 'p, a\nP, x\np, "a, /x, GET, allow\np, a, /x, GET, Allow\n'

    with pytest.raises(PolicyError) as refused:
        Engine.from_source(source(policy))

    assert [(finding.line, finding.code) for finding in refused.value.findings] == [
        (1, "arity"),
        (2, "ptype"),
        (3, "quotes"),
        (4, "effect"),
    ]


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        pytest.param(
            "", "policy.csv: warning[empty]: no rule at all: every request will be denied", id="empty"
        ),
        pytest.param(
            GOOD + "g, alice, staff\n",
            "policy.csv:2: warning[role]: 'staff' is not written role:NAME; a subject of that name has its rights",
            id="a role without its prefix",
        ),
        pytest.param(
            "p, alice, /x/*, GET, deny\n",
            "policy.csv:1: warning[folder]: denies what is below /x, but not /x itself; deny that too",
            id="a denied folder that stays open",
        ),
        pytest.param(GOOD + GOOD, "policy.csv:2: warning[duplicate]: the same row as line 1", id="duplicate"),
        pytest.param(
            GOOD + "g, role:a, role:b\ng, role:b, role:a\n",
            "policy.csv:2: warning[cycle]: g: roles in a circle: role:a → role:b → role:a",
            id="a circle of roles",
        ),
        pytest.param(
            'p, "alice, of sales", /a, GET, allow\n',
            "policy.csv:1: warning[quoted]: Casbin's own loaders keep the quotes and split at commas between them",
            id="a quoted field",
        ),
    ],
)
def test_what_is_odd_but_clear_is_a_warning(policy: str, expected: str) -> None:
    engine, _ = load(source(policy))

    assert engine is not None
    assert [expected] == [str(finding) for finding in engine.findings]


@pytest.mark.parametrize(
    "policy",
    [
        pytest.param("p, alice, /x/*, GET, deny\np, alice, /x, GET, deny\n", id="folder and content denied"),
        pytest.param("p, alice, /x/*, GET, allow\n", id="an allow"),
        pytest.param(GOOD.strip(), id="no line break at the end"),
        pytest.param(GOOD.replace("\n", "\r\n"), id="line breaks of Windows"),
        pytest.param("p,\talice , /a,GET,\tallow \n", id="spaces and tabs around fields"),
        pytest.param("  # note\n\n   \n" + GOOD, id="comments and blank lines"),
    ],
)
def test_what_is_in_order_has_no_finding(policy: str) -> None:
    assert [] == findings(policy)


@pytest.mark.parametrize(
    ("line", "fields"),
    [
        pytest.param('p, "a, b", /x, GET, allow', ("a, b", "/x", "GET", "allow"), id="a comma in quotes"),
        pytest.param(
            'p, "say ""hi""", /x, GET, allow', ('say "hi"', "/x", "GET", "allow"), id="doubled quotes"
        ),
        pytest.param('p, "#1", /x, GET, allow', ("#1", "/x", "GET", "allow"), id="a quoted number sign"),
        pytest.param(
            "p, f(a, b), /x, GET, allow", ("f(a, b)", "/x", "GET", "allow"), id="a comma in brackets"
        ),
        pytest.param("p, a, /[x,y]z, GET, allow", ("a", "/[x,y]z", "GET", "allow"), id="a comma in a class"),
    ],
)
def test_fields_are_read_as_they_are_meant(line: str, fields: tuple[str, ...]) -> None:
    engine = Engine.from_source(source(line))

    assert [fields] == [rule.row.fields for rule in engine.rules]
    assert [line] == [rule.row.text for rule in engine.rules]


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        pytest.param(
            model_text().replace("[matchers]", "[matcher]"),
            "model.conf:9: error[section]: unknown section [matcher]; known are request_definition, "
            "policy_definition, role_definition, policy_effect, matchers",
            id="unknown section",
        ),
        pytest.param("", "model.conf: error[section]: no r in a section [request_definition]", id="empty"),
        pytest.param(
            model_text(effect="some(where(p.eft == allow))"),
            "'some(where(p.eft == allow))' is none of Casbin's effects",
            id="an effect that is spelt otherwise",
        ),
        pytest.param(
            model_text(matcher="r.sub == p.sub &&"),
            "model.conf:10: error[matcher]: cannot be parsed",
            id="syntax",
        ),
        pytest.param(
            model_text(matcher="r.sub == p.sub; True"),
            "model.conf:10: error[matcher]: cannot be parsed: not one expression",
            id="two expressions",
        ),
        pytest.param(
            model_text(matcher="r.sub == p.sub && myMatch(r.obj, p.obj)"),
            "model.conf:10: error[function]: unknown function myMatch()",
            id="unknown function",
        ),
        pytest.param(
            model_text(matcher="eval(p.sub)"),
            "model.conf:10: error[eval]: eval() lets whoever writes a row of the policy write a part of the matcher",
            id="eval",
        ),
        pytest.param(
            model_text(matcher="r.user == p.sub"),
            "model.conf:10: error[name]: r.user is not defined",
            id="name",
        ),
        pytest.param(
            model_text(matcher="true || r.sub == p.sub"),
            "model.conf:10: error[name]: true is not defined",
            id="true in lower case",
        ),
        pytest.param(
            model_text(roles={"g": "_, _, (_)"}),
            "model.conf:6: error[roles]: g = _, _, (_) is not supported; use _, _ or _, _, _, and (_, _)",
            id="roles of another shape",
        ),
        pytest.param(
            model_text() + "m2 = r.sub == p.sub\n",
            "model.conf:11: error[section]: m2 cannot be used: [matchers] decides by m alone",
            id="a second matcher",
        ),
        pytest.param(
            model_text() + "m = True\n",
            "model.conf:11: error[duplicate]: m is defined before, in line 10",
            id="a matcher twice",
        ),
        pytest.param(model_text() + "whatever\n", "model.conf:11: error[syntax]", id="no key"),
        pytest.param(
            model_text(policy="sub, obj, obj, eft"), "model.conf:4: error[duplicate]", id="a field twice"
        ),
        pytest.param(b"\xff", "model.conf:1: error[encoding]: byte 0xff is not UTF-8", id="not UTF-8"),
    ],
)
def test_a_model_that_cannot_be_run_is_refused(model: str | bytes, expected: str) -> None:
    engine, found = load(source(GOOD, model))

    assert engine is None
    assert expected in str(found[0])


def test_a_model_may_span_lines_and_hold_comments() -> None:
    model = "# first\n; second\n" + model_text().replace(" && r.act", " && \\\n  r.act")

    assert Engine.from_source(source(GOOD, model)).enforce("alice", "/a", "GET").allowed


@pytest.mark.parametrize(
    ("policy", "model", "expected"),
    [
        pytest.param(
            "", model_text(effect=DENY_OVERRIDE), "error[empty]", id="empty, where all is allowed then"
        ),
        pytest.param(
            "p, alice, /a, GET, deny\n",
            model_text(effect=ALLOW_OVERRIDE),
            "warning[idle]: a deny, which this model's effect never looks at",
            id="a deny that nobody reads",
        ),
        pytest.param(
            "p, -1, alice, /a, GET, allow\n",
            model_text(policy="priority, sub, obj, act, eft", effect=PRIORITY),
            "error[priority]: '-1' is no whole number from 0; Casbin sorts others as text",
            id="a negative priority",
        ),
        pytest.param(
            "p, a, /a(+, GET, allow\n".replace("(", '"(').replace("+,", '+",').replace('/a"', '"/a'),
            None,
            "error[pattern]: '/a(+' is nothing for keyMatch2",
            id="a pattern that is no expression",
        ),
        pytest.param(
            "p, a, /[z-a], GET, allow\n",
            model_text(matcher="regexMatch(r.obj, p.obj)"),
            "error[pattern]: '/[z-a]' is nothing for regexMatch: bad character range z-a",
            id="a regular expression that is none",
        ),
        pytest.param(
            "p, a, 10.0.0.0/33, GET, allow\n",
            model_text(matcher="ipMatch(r.obj, p.obj)"),
            "error[pattern]: '10.0.0.0/33' is nothing for ipMatch",
            id="a network that is none",
        ),
        pytest.param(
            GOOD + "".join(f"g, role:{n}, role:{n + 1}\n" for n in range(10)),
            None,
            "error[depth]: g: role:0 is more than 9 steps from role:10, farther than Casbin looks",
            id="roles deeper than Casbin follows",
        ),
        pytest.param(
            "p, a, /a, GET, allow\ng, a, b\ng, b, a\n",
            model_text(effect=SUBJECT_PRIORITY),
            "error[order]: the rules cannot be put in order",
            id="a circle where the hierarchy decides",
        ),
    ],
)
def test_what_depends_on_the_model_is_found(policy: str, model: str | None, expected: str) -> None:
    found = findings(policy, model)

    assert any(expected in finding for finding in found), found


def test_roles_as_deep_as_casbin_follows_are_fine() -> None:
    policy = GOOD + "".join(f"g, role:{n}, role:{n + 1}\n" for n in range(9))

    assert [] == findings(policy)


def test_a_star_is_a_subject_where_the_model_matches_patterns() -> None:
    model = model_text(roles={}, matcher="keyMatch(r.sub, p.sub) && r.obj == p.obj && r.act == p.act")

    assert [] == findings("p, *, /a, GET, allow\n", model)


@pytest.mark.parametrize(
    ("value", "matcher", "fine"),
    [
        pytest.param("GET", "keyMatch(r.act, p.act)", True, id="a method"),
        pytest.param("*", "keyMatch(r.act, p.act)", True, id="any method"),
        pytest.param("P*", "keyMatch(r.act, p.act)", True, id="methods with P"),
        pytest.param("M-SEARCH", "keyMatch(r.act, p.act)", True, id="a hyphen"),
        pytest.param("GET|POST", "keyMatch(r.act, p.act)", False, id="a regex where none is"),
        pytest.param("get", "keyMatch(r.act, p.act)", False, id="lower case"),
        pytest.param("*", "r.act == p.act", False, id="a star where none is"),
        pytest.param("GET|POST", "r.act == p.act", False, id="a bar"),
        pytest.param("GET|POST", "regexMatch(r.act, p.act)", True, id="a regex where one is"),
    ],
)
def test_an_action_that_no_method_can_match_is_an_error(value: str, matcher: str, *, fine: bool) -> None:
    model = model_text(matcher=f"g(r.sub, p.sub) && r.obj == p.obj && {matcher}")
    found = findings(f"p, alice, /a, {value}, allow\n", model, HTTP)

    assert fine == (not found), found
    assert [] == findings(f"p, alice, /a, {value}, allow\n", model)


@pytest.mark.parametrize("value", ["orders/*", "https://x/a", "/a//b", "/a;b", "/é", "/a b"])
def test_a_path_that_no_request_has_is_a_warning(value: str) -> None:
    assert [f"policy.csv:1: warning[path]: no normalised path is matched by {value!r}"] == findings(
        f"p, alice, {value}, GET, allow\n", None, HTTP
    )


@pytest.mark.parametrize(
    ("request_attributes", "expected"),
    [
        pytest.param(
            ("subject", "resource"),
            "model.conf:2: error[request]: the model's r has 3 values (sub, obj, act), "
            "extauthz.request gives 2 (subject, resource)",
            id="too few",
        ),
        pytest.param(
            ("resource", "subject", "action"),
            "model.conf:2: error[request]: roles are asked about r.sub, where extauthz.request gives the resource",
            id="another one as the subject",
        ),
    ],
)
def test_a_model_that_does_not_fit_the_request_is_refused(
    request_attributes: tuple[str, ...], expected: str
) -> None:
    assert [expected] == findings(GOOD, None, request_attributes)


def test_files_that_cannot_be_read_are_named_both(tmp_path: Path) -> None:
    with pytest.raises(PolicyError) as refused:
        Engine.from_files(tmp_path / "m", tmp_path)

    assert [finding.path for finding in refused.value.findings] == [str(tmp_path / "m"), str(tmp_path)]
    assert {finding.code for finding in refused.value.findings} == {"unreadable"}


def test_the_version_names_model_and_policy_by_their_digests() -> None:
    model, policy = SAMPLE / "model.conf", SAMPLE / "policy.csv"
    digests = [hashlib.sha256(path.read_bytes()).digest() for path in (model, policy)]

    assert hashlib.sha256(digests[0] + digests[1]).hexdigest() == read(model, policy).version


@pytest.mark.parametrize("function", ["keyMatch2", "keyMatch3", "keyMatch4", "keyMatch5"])
@pytest.mark.parametrize("pattern", ["/a/*", "/*/b", "/a/:id/x.y", "/a:b/*", "/~@=,%!&'-", "/", "*"])
def test_patterns_that_are_taken_untried_are_expressions_to_casbin(function: str, pattern: str) -> None:
    """`*` alone is no expression to some functions; those are the ones that say so."""
    raises = False
    try:
        matching_functions()[function]("/", pattern)
    except re.error:
        raises = True
    model = model_text(matcher=f"g(r.sub, p.sub) && {function}(r.obj, p.obj) && r.act == p.act")

    assert raises == (load(source(f'p, a, "{pattern}", GET, allow\n', model))[0] is None)


@pytest.mark.parametrize(
    ("patterns", "warned"),
    [
        pytest.param(["/x/y/*"], 1, id="alone"),
        pytest.param(["/x/y/*", "/x/y"], 0, id="itself"),
        pytest.param(["/x/y/*", "/x/*", "/x"], 0, id="all below its parent"),
        pytest.param(["/x/y/*", "/*"], 0, id="everything"),
        pytest.param(["/x/y/*", "*"], 0, id="everything, the short way"),
        pytest.param(["/x/y/*", "/x/z"], 1, id="something else"),
    ],
)
def test_a_denied_folder_is_covered_by_what_denies_it_too(patterns: list[str], warned: int) -> None:
    policy = "".join(f"p, alice, {pattern}, GET, deny\n" for pattern in patterns)

    assert warned == len([finding for finding in findings(policy) if "[folder]" in finding])


def test_a_row_that_casbin_would_need_minutes_for_is_refused() -> None:
    engine, found = load(source(f"{GOOD}p, alice, /{'x' * 5000}, GET, allow\n"))

    assert engine is None
    assert "error[long]: a row of 5023 characters; 4500 are the most" in str(found[-1])


def test_each_deliberate_difference_has_its_tests() -> None:
    page = (SAMPLE.parent / "docs" / "design" / "policy-engine.md").read_text()
    table = page.partition("## Deliberate differences from pycasbin")[2].partition("\n\nWhat holds")[0]
    rows = [row for row in table.splitlines() if row.startswith("| ")][1:]
    tests = "".join(path.read_text() for path in (SAMPLE.parent / "tests").rglob("test_*.py"))

    assert len(rows) >= 14
    for row in rows:
        named = re.findall(r"`(test_\w+)", row)
        assert named, row
        assert all(f"def {name}" in tests for name in named), row
