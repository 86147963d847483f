"""`gateledger policy test`: does the policy answer what its tests say?"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from extauthz.analysis.cases import suite_of
from extauthz.analysis.suite import coverage, results, unlisted_count, unlisted_results
from extauthz.engine import EnforceError, PolicyError
from extauthz.explanation import Question, explain
from gateledger.cli.explained import lines_of, plain_of
from gateledger.cli.options import Unusable, common, format_option
from gateledger.cli.output import emit
from gateledger.cli.policy_files import loaded, policy_files, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from extauthz.analysis.cases import Case, Suite
    from extauthz.analysis.suite import Coverage, Result
    from extauthz.engine import Engine, Source
    from gateledger.settings import Settings

DEFAULT_FILE = "policy_test.yaml"
# Requests that a closed file may ask beside its cases.
MAX_UNLISTED = 1_000_000
# From so many requests on, a terminal shows how far it is.
_LONG = 500


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is tested: the policy, what its request values mean, and the cases."""

    engine: Engine
    attributes: tuple[str, ...]
    suite: Suite

    @property
    def unlisted(self) -> int:
        return unlisted_count(self.suite, self.engine.model.subject) if self.suite.closed else 0

    def answered(self) -> Iterator[Result]:
        yield from results(self.engine, self.suite, self.attributes)
        if self.suite.closed:
            yield from unlisted_results(self.engine, self.suite, self.attributes)


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What came out: the listed cases' results, the failing ones of all, and the rules that none decided."""

    listed: tuple[Result, ...]
    failed: tuple[Result, ...]
    unlisted: int
    covered: Coverage


@click.command("test")
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option("--require-coverage", is_flag=True, help="Exit with 1 also if a rule decides no test.")
@common
@policy_files
@format_option
def test_command(
    *, settings: Settings, source: Source, file: Path | None, require_coverage: bool, format_: str
) -> None:
    """Run the tests in FILE: does the policy answer what they say?

    FILE is YAML; without it, policy_test.yaml beside the policy. Each test names a request, the answer that
    it must get and, if it likes, the rule that must decide and the roles that the token brings. Says what
    failed and why, and which rules no test decided. Exit code 1 if a test fails.
    """
    engine, attributes = loaded(source, settings)
    asked = _Asked(engine, attributes, _suite(file or Path(source.policy_path).parent / DEFAULT_FILE, engine))
    if asked.unlisted > MAX_UNLISTED:
        raise Unusable(
            f"{asked.suite.path}: `unlisted: deny` would ask {asked.unlisted:,} requests, {MAX_UNLISTED:,} is "
            "the most; split the file by service, so that fewer values are combined"
        )
    try:
        outcome = _outcome(asked)
    except EnforceError as error:
        raise Unusable(f"{source.policy_path}: {error}") from error
    if format_ == "json":
        click.echo(json.dumps(_plain(asked, outcome), indent=2))
    elif format_ == "csv":
        _csv(outcome)
    else:
        _say(asked, outcome)
    if outcome.failed or (require_coverage and outcome.covered.undecided):
        raise SystemExit(1)


def _suite(path: Path, engine: Engine) -> Suite:
    path = shown(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise Unusable(
            f"{path}: cannot be read: {error.strerror}; name the file with the tests: gateledger policy test FILE"
        ) from error
    try:
        return suite_of(content, str(path), engine.model.request)
    except PolicyError as error:
        raise Unusable(str(error)) from error


def _outcome(asked: _Asked) -> _Outcome:
    total = len(asked.suite.cases) + asked.unlisted
    listed: list[Result] = []
    failed: list[Result] = []
    unlisted = 0
    for result in _with_progress(asked.answered(), total):
        if result.unlisted:
            unlisted += 1
        else:
            listed.append(result)
        if result.problem:
            failed.append(result)
    return _Outcome(tuple(listed), tuple(failed), unlisted, coverage(asked.engine, listed))


def _with_progress(found: Iterable[Result], total: int) -> Iterator[Result]:
    if total < _LONG or not sys.stderr.isatty():
        yield from found
        return
    with click.progressbar(found, length=total, label="testing", file=sys.stderr) as bar:
        yield from bar


def _say(asked: _Asked, outcome: _Outcome) -> None:
    for result in outcome.failed:
        for line in _failure(asked, result):
            click.echo(line)
    passed = sum(not result.problem for result in outcome.listed)
    click.echo(f"{asked.suite.path}: {passed} of {len(outcome.listed)} tests hold")
    if asked.suite.closed:
        open_ = sum(result.unlisted for result in outcome.failed)
        click.echo(f"{asked.suite.path}: {open_} of {outcome.unlisted} unlisted requests are not denied")
    covered = outcome.covered
    decided = covered.rules - len(covered.undecided)
    click.echo(f"{asked.engine.source.policy_path}: {decided} of {covered.rules} rules decided a test")
    for row in covered.undecided:
        click.echo(f"  not tested  {asked.engine.source.policy_path}:{row.line}: {row.text}")


def _failure(asked: _Asked, result: Result) -> Iterator[str]:
    case = result.case
    where = f"{asked.suite.path}:{case.line}" if case.line else asked.suite.path
    yield f"{where}: {case.name}: {result.problem}"
    roles = f"  with {', '.join(case.roles)}" if case.roles else ""
    yield f"  asked  {' '.join(case.request)}{roles}"
    for line in lines_of(explain(asked.engine, _question(asked, case))):
        yield f"  {line}"


def _question(asked: _Asked, case: Case) -> Question:
    return Question(case.request, case.roles, asked.attributes)


def _plain(asked: _Asked, outcome: _Outcome) -> dict[str, Any]:
    return {
        "file": asked.suite.path,
        "policy": asked.engine.source.policy_path,
        "policy_version": asked.engine.version,
        "tests": len(outcome.listed),
        "failed": sum(not result.unlisted for result in outcome.failed),
        "unlisted": outcome.unlisted if asked.suite.closed else None,
        "unlisted_failed": sum(result.unlisted for result in outcome.failed) if asked.suite.closed else None,
        "failures": [_plain_failure(asked, result) for result in outcome.failed],
        "coverage": {
            "rules": outcome.covered.rules,
            "decided": outcome.covered.rules - len(outcome.covered.undecided),
            "undecided": [{"line": row.line, "rule": row.text} for row in outcome.covered.undecided],
        },
    }


def _plain_failure(asked: _Asked, result: Result) -> dict[str, Any]:
    case = result.case
    return {
        "name": case.name,
        "line": case.line or None,
        "request": list(case.request),
        "roles": list(case.roles),
        "expected": {"effect": case.expect, "rule": case.rule},
        "problem": result.problem,
        "got": plain_of(explain(asked.engine, _question(asked, case))),
    }


def _csv(outcome: _Outcome) -> None:
    columns = ("name", "line", "request", "roles", "expect", "got", "reason_code", "rule_line", "problem")
    unlisted = [result for result in outcome.failed if result.unlisted]
    rows = [
        (
            result.case.name,
            result.case.line or None,
            " ".join(result.case.request),
            ",".join(result.case.roles),
            result.case.expect,
            result.explanation.effect.value,
            result.explanation.reason_code.value,
            result.explanation.line,
            result.problem,
        )
        for result in (*outcome.listed, *unlisted)
    ]
    emit(columns, rows, "csv")
