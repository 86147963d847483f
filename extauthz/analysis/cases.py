"""Policy tests as people write them: a YAML file of requests with the answer that each must get.

Read strictly, with line numbers: an unknown key, a wrong number of values or a misspelt answer is a
finding, never a test that silently says nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import yaml

from extauthz.engine.finding import PolicyError, Report
from extauthz.engine.source import text_of

SUITE_KEYS = ("tests", "unlisted")
CASE_KEYS = ("name", "request", "expect", "rule", "roles")
# What expect and unlisted may say.
EFFECTS = ("allow", "deny")

Fields = Mapping[str, tuple[int, yaml.Node]]


@dataclass(frozen=True, slots=True)
class Case:
    """One request, and what the policy has to answer to it. `rule` is None where any rule may decide."""

    name: str
    line: int
    request: tuple[str, ...]
    expect: str
    roles: tuple[str, ...] = ()
    rule: str | None = None

    @property
    def asked(self) -> tuple[tuple[str, ...], frozenset[str]]:
        """What the engine is asked: the same for two cases that differ in words only."""
        return self.request, frozenset(self.roles)


@dataclass(frozen=True, slots=True)
class Suite:
    """The cases of one file. `closed`: whatever combination of its values is not listed must be denied."""

    path: str
    cases: tuple[Case, ...]
    closed: bool = False


def suite_of(content: bytes, path: str, request: tuple[str, ...]) -> Suite:
    """The suite in a YAML file, for a model with these request values. Raises PolicyError with all findings."""
    report = Report(path, [])
    text = text_of(content, report)
    suite = None if report.findings else _suite(text, request, report)
    if suite is None or report.findings:
        raise PolicyError(sorted(report.findings, key=lambda finding: finding.line))
    return suite


def _suite(text: str, request: tuple[str, ...], report: Report) -> Suite | None:
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        report.error(line, "yaml", f"{error.problem or 'not YAML'}{_context(error)}")
        return None
    except (yaml.YAMLError, RecursionError) as error:
        report.error(0, "yaml", str(error) or "nested too deeply")
        return None
    if root is None:
        report.error(0, "empty", "no tests; the file needs a list `tests:`")
        return None
    fields = _fields(root, SUITE_KEYS, "the file", report)
    closed = False
    if "unlisted" in fields:
        closed = _effect("unlisted", fields, report, allowed=("deny",)) == "deny"
    cases = tuple(_cases(fields, request, root, report))
    return Suite(report.path, cases, closed)


def _context(error: yaml.MarkedYAMLError) -> str:
    return f" ({error.context})" if error.context else ""


def _cases(fields: Fields, request: tuple[str, ...], root: yaml.Node, report: Report) -> Iterator[Case]:
    if "tests" not in fields:
        if isinstance(root, yaml.MappingNode):
            report.error(_line(root), "key", "no `tests`; it lists the requests and what each must get")
        return
    line, node = fields["tests"]
    if not isinstance(node, yaml.SequenceNode) or not node.value:
        report.error(line, "tests", "`tests` must be a list with at least one test")
        return
    names: dict[str, int] = {}
    for item in node.value:
        case = _case(item, request, report)
        if case is None:
            continue
        before = names.setdefault(case.name, case.line)
        if before != case.line:
            report.error(case.line, "duplicate", f"a test named {case.name!r} stands in line {before}")
        yield case


def _case(node: yaml.Node, request: tuple[str, ...], report: Report) -> Case | None:
    before = len(report.findings)
    fields = _fields(node, CASE_KEYS, "a test", report)
    if not isinstance(node, yaml.MappingNode):
        return None
    for needed in ("request", "expect"):
        if needed not in fields:
            report.error(_line(node), "key", f"a test without `{needed}`")
    values = _texts("request", fields, report)
    if "request" in fields and values is not None and len(values) != len(request):
        report.error(
            fields["request"][0],
            "arity",
            f"{len(values)} value{'s' if len(values) != 1 else ''}, "
            f"the model's requests have {len(request)} ({', '.join(request)})",
        )
    expect = _effect("expect", fields, report, allowed=EFFECTS)
    roles = _texts("roles", fields, report)
    name = _text("name", fields, report) or " ".join(values or ())
    rule = _text("rule", fields, report)
    if len(report.findings) > before:
        return None
    return Case(name, _line(node), values or (), expect, roles or (), rule)


def _fields(
    node: yaml.Node, known: tuple[str, ...], what: str, report: Report
) -> dict[str, tuple[int, yaml.Node]]:
    if not isinstance(node, yaml.MappingNode):
        report.error(_line(node), "yaml", f"{what} must be a mapping with the keys {', '.join(known)}")
        return {}
    found: dict[str, tuple[int, yaml.Node]] = {}
    for key, value in node.value:
        name = str(key.value) if isinstance(key, yaml.ScalarNode) else "?"
        if name not in known:
            report.error(_line(key), "key", f"unknown key {name!r}; {what} has {', '.join(known)}")
        elif name in found:
            report.error(_line(key), "duplicate", f"{name} stands twice, first in line {found[name][0]}")
        else:
            found[name] = (_line(key), value)
    return found


def _effect(key: str, fields: Fields, report: Report, allowed: tuple[str, ...]) -> str:
    if key not in fields:
        return ""
    text = _text(key, fields, report)
    if text is not None and text not in allowed:
        report.error(fields[key][0], key, f"{text!r} is not {' or '.join(allowed)}")
    return text or ""


def _texts(key: str, fields: Fields, report: Report) -> tuple[str, ...] | None:
    if key not in fields:
        return None
    line, node = fields[key]
    if not isinstance(node, yaml.SequenceNode):
        report.error(line, key, f"{key} must be a list of texts, like [a, b]")
        return None
    texts = [_scalar(item, key, report) for item in node.value]
    return None if None in texts else tuple(text for text in texts if text is not None)


def _text(key: str, fields: Fields, report: Report) -> str | None:
    return _scalar(fields[key][1], key, report) if key in fields else None


def _scalar(node: yaml.Node, key: str, report: Report) -> str | None:
    """A scalar as it is written: a request may hold `on` or 1 without quotes."""
    if isinstance(node, yaml.ScalarNode) and (node.style or node.tag != "tag:yaml.org,2002:null"):
        return str(node.value)
    report.error(_line(node), key, f"{key} must hold texts; here is {_kind(node)}")
    return None


def _kind(node: yaml.Node) -> str:
    if isinstance(node, yaml.MappingNode):
        return "a mapping"
    return "a list" if isinstance(node, yaml.SequenceNode) else "nothing"


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1
