"""The Casbin model file, read strictly: what a request has, what a rule has, and how they match."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from extauthz.engine import reference
from extauthz.engine.embedded import embedded_fields
from extauthz.engine.extension import NO_EXTENSIONS
from extauthz.engine.vocabulary import Vocabulary

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from extauthz.engine.extension import Extensions
    from extauthz.engine.finding import Report

_SECTIONS = {
    "request_definition": "r",
    "policy_definition": "p",
    "role_definition": "g",
    "policy_effect": "e",
    "matchers": "m",
}
_REQUIRED = tuple(section for section in _SECTIONS if section != "role_definition")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# Names and perhaps a domain; in brackets the times from which and until which a row holds.
_ROLE_DEFINITION = re.compile(r"_\s*,\s*_(?:\s*,\s*_)?(?P<times>\s*,\s*\(\s*_\s*,\s*_\s*\))?")


@dataclass(frozen=True, slots=True)
class Model:
    """A model that can be run. Field names are without their r_ and p_."""

    request: tuple[str, ...]
    policy: tuple[str, ...]
    # What each role definition is asked with: {"g": 2}, or 3 with a domain.
    roles: Mapping[str, int]
    # Those of which a row holds from one time until another, which are two fields more.
    timed: frozenset[str]
    effect: str
    matcher: ast.expr
    # Which request value is the subject, whose roles a request may bring along.
    subject: int
    # Lines of the model file, for findings.
    request_line: int
    effect_line: int
    matcher_line: int
    vocabulary: Vocabulary
    # The fields of a rule that hold expressions, for eval().
    embedded: tuple[str, ...] = ()

    @property
    def widths(self) -> dict[str, int]:
        """How many fields a row has behind each first word."""
        roles = {name: count + 2 * (name in self.timed) for name, count in self.roles.items()}
        return {"p": len(self.policy), **roles}

    @property
    def effect_field(self) -> int | None:
        """Where a row says allow or deny; None: every row allows."""
        return self.policy.index("eft") if "eft" in self.policy else None


@dataclass(frozen=True, slots=True)
class _Entry:
    line: int
    value: str


def model_of(text: str, report: Report, extensions: Extensions = NO_EXTENSIONS) -> Model | None:
    """The model of a file, or None when its findings contain an error."""
    before = len(report.findings)
    entries = _entries(text, report)
    if len(report.findings) > before:
        return None
    request = _names(entries["r"], report)
    policy = _names(entries["p"], report)
    roles, timed = _roles(entries, report)
    effect = _effect(entries["e"], report)
    vocabulary = Vocabulary(request, policy, frozenset(roles), extensions)
    matcher = _matcher(entries["m"], vocabulary, report)
    if matcher is None or any(finding.severity == "error" for finding in report.findings[before:]):
        return None
    subject = _subject(matcher, request)
    return Model(
        request,
        policy,
        roles,
        timed,
        effect,
        matcher,
        subject,
        request_line=entries["r"].line,
        effect_line=entries["e"].line,
        matcher_line=entries["m"].line,
        vocabulary=vocabulary,
        embedded=embedded_fields(matcher),
    )


def _entries(text: str, report: Report) -> dict[str, _Entry]:
    found: dict[str, _Entry] = {}
    section = ""
    for line, content in _logical_lines(text):
        if content.startswith("[") and content.endswith("]"):
            section = content[1:-1]
            if section not in _SECTIONS:
                report.error(line, "section", f"unknown section [{section}]; known are {_list(_SECTIONS)}")
            continue
        key, equals, value = (part.strip() for part in content.partition("="))
        if not equals:
            report.error(line, "syntax", "neither a [section] nor key = value")
        elif section in _SECTIONS:
            _enter(found, section, key, _Entry(line, value), report)
    for missing in _REQUIRED:
        if _SECTIONS[missing] not in found and not report.findings:
            report.error(0, "section", f"no {_SECTIONS[missing]} in a section [{missing}]")
    return found


def _enter(found: dict[str, _Entry], section: str, key: str, entry: _Entry, report: Report) -> None:
    kind = _SECTIONS[section]
    if key in found:
        report.error(entry.line, "duplicate", f"{key} is defined before, in line {found[key].line}")
    elif key != kind and not (kind == "g" and re.fullmatch(r"g[2-9]", key)):
        report.error(entry.line, "section", f"{key} cannot be used: [{section}] decides by {kind} alone")
    elif not entry.value:
        report.error(entry.line, "syntax", f"{key} is empty")
    else:
        found[key] = entry


def _logical_lines(text: str) -> Iterable[tuple[int, str]]:
    """Lines with their numbers: comments and blank ones left out, those that end in a backslash joined."""
    joined, first = "", 0
    for number, raw in enumerate(text.split("\n"), start=1):
        line = raw.strip()
        if not line or line[0] in "#;":
            continue
        first = first or number
        if line.endswith("\\"):
            joined += line[:-1].strip() + " "
            continue
        yield first, joined + line
        joined, first = "", 0
    if joined:
        yield first, joined.strip()


def _names(entry: _Entry, report: Report) -> tuple[str, ...]:
    names = tuple(name.strip() for name in entry.value.split(","))
    for name in names:
        if not _NAME.fullmatch(name):
            report.error(entry.line, "syntax", f"{name!r} is no name for a field")
    if len(set(names)) < len(names):
        report.error(entry.line, "duplicate", f"a field is named twice in {entry.value!r}")
    return names


def _roles(entries: Mapping[str, _Entry], report: Report) -> tuple[dict[str, int], frozenset[str]]:
    roles, timed = {}, set()
    for key, entry in entries.items():
        if key.startswith("g"):
            definition = _ROLE_DEFINITION.fullmatch(entry.value)
            if definition is None:
                message = (
                    f"{key} = {entry.value} is not supported; use _, _ or _, _, _, and (_, _) for two times"
                )
                report.error(entry.line, "roles", message)
            elif definition["times"]:
                timed.add(key)
            roles[key] = entry.value.partition("(")[0].count("_")
    if timed and len(timed) < len(roles):
        line = max(entries[key].line for key in roles)
        message = "role definitions with times beside others without: pycasbin then forgets the roles of those without"
        report.error(line, "roles", message)
    return roles, frozenset(timed)


def _effect(entry: _Entry, report: Report) -> str:
    effect = reference.effect_text(entry.value)
    if effect not in reference.EFFECTS:
        report.error(
            entry.line,
            "effect",
            f"{entry.value!r} is none of Casbin's effects, which are compared letter by letter: "
            + "; ".join(known.replace("p_eft", "p.eft") for known in reference.EFFECTS),
        )
    return effect


def _matcher(entry: _Entry, vocabulary: Vocabulary, report: Report) -> ast.expr | None:
    try:
        tree = reference.matcher_tree(entry.value)
    except (SyntaxError, ValueError, IndexError, AttributeError, RecursionError, MemoryError) as error:
        report.error(entry.line, "matcher", f"cannot be parsed: {error}")
        return None
    for code, message in vocabulary.problems(tree):
        tell = report.warning if code == "attribute" else report.error
        tell(entry.line, code, message)
    return tree


def _subject(matcher: ast.expr, request: tuple[str, ...]) -> int:
    """The request value that g() is asked about first; else the one named sub; else the first."""
    for node in ast.walk(matcher):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "g":
            first = node.args[0] if node.args else None
            if isinstance(first, ast.Name) and first.id.startswith("r_") and first.id[2:] in request:
                return request.index(first.id[2:])
    return request.index("sub") if "sub" in request else 0


def _list(names: Iterable[str]) -> str:
    return ", ".join(names)
