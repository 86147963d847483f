"""`gateledger policy …`: check a policy, and ask it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from extauthz.analysis.advice import advice
from extauthz.engine import EnforceError, Severity, load
from extauthz.engine.compat import differences
from extauthz.explanation import Explanation, Question, explain
from gateledger.cli.explained import lines_of, plain_of
from gateledger.cli.options import Unusable, common, format_option
from gateledger.cli.output import emit
from gateledger.cli.policy_diff import diff_command
from gateledger.cli.policy_files import extensions_for, loaded, policy_files
from gateledger.cli.policy_question import what_can_command, who_can_command
from gateledger.cli.policy_test import test_command

if TYPE_CHECKING:
    from collections.abc import Sequence

    from extauthz.engine import Engine, Finding, Source
    from gateledger.settings import Settings


@click.group("policy")
def policy() -> None:
    """Check a policy, and ask it."""


@policy.command("lint")
@common
@policy_files
@click.option("--compat", is_flag=True, help="Say also which lines pycasbin would drop or read otherwise.")
@format_option
def lint(*, settings: Settings, source: Source, compat: bool, format_: str) -> None:
    """Say what is wrong with the model and the policy.

    An error keeps a policy from being loaded, a warning does not. Exit code 1 on any error.
    """
    extensions = extensions_for(settings)
    engine, findings = load(source, settings.extauthz.request, extensions)
    if engine is not None:
        findings = (*findings, *advice(engine, settings.extauthz.asserted_roles))
    if compat:
        findings = (*findings, *differences(source, extensions))
    if format_ == "table":
        _say(source, engine, findings)
    else:
        columns = ("path", "line", "severity", "code", "message")
        rows = [(f.path, f.line, f.severity.value, f.code, f.message) for f in findings]
        emit(columns, rows, format_)
    if engine is None:
        raise SystemExit(1)


def _say(source: Source, engine: Engine | None, findings: Sequence[Finding]) -> None:
    for finding in findings:
        click.echo(finding)
    if engine is None:
        count = sum(finding.severity is Severity.ERROR for finding in findings)
        click.echo(f"{count} error{'s' if count != 1 else ''}: this policy will not be loaded", err=True)
    else:
        rules = f"{len(engine.rules)} rule{'s' if len(engine.rules) != 1 else ''}"
        click.echo(f"{source.policy_path}: {rules}, version {engine.version}", err=True)


@policy.command("explain")
@click.argument("values", nargs=-1, required=True)
@click.option("--role", "roles", multiple=True, help="A role that the token brings (with or without role:).")
@click.option(
    "--all", "every_rule", is_flag=True, help="Show every rule that matches, not the deciding one alone."
)
@click.option("--expect", type=click.Choice(["allow", "deny"]), help="Exit with 1 if the answer is another.")
@common
@policy_files
@format_option
def explain_command(
    *,
    settings: Settings,
    source: Source,
    values: tuple[str, ...],
    roles: tuple[str, ...],
    every_rule: bool,
    expect: str | None,
    format_: str,
) -> None:
    """Say what the policy answers to VALUES, and why.

    VALUES stand in the order of the model's request_definition; with the default model:
    subject, service, path, method.

    \b
      gateledger policy explain bob orders /orders/1/payment GET
      gateledger policy explain carol orders /orders GET --role support --expect allow
    """
    engine, attributes = loaded(source, settings)
    if len(values) != len(engine.model.request):
        wanted = " ".join(name.upper() for name in engine.model.request)
        raise Unusable(
            f"{len(values)} values, this model's requests have {len(engine.model.request)}: {wanted}"
        )
    try:
        explanation = explain(engine, Question(values, roles, attributes), every_rule=every_rule)
    except EnforceError as error:
        raise Unusable(f"{source.policy_path}: {error}") from error
    _show(explanation, format_)
    if expect and expect != explanation.effect.value:
        raise SystemExit(1)


def _show(explanation: Explanation, format_: str) -> None:
    if format_ == "json":
        click.echo(json.dumps(plain_of(explanation), indent=2))
    elif format_ == "csv":
        plain = plain_of(explanation)
        del plain["nearest"], plain["matching"]
        plain["role_path"] = " → ".join(explanation.role_path)
        emit(tuple(plain), [tuple(plain.values())], "csv")
    else:
        click.echo("\n".join(lines_of(explanation)))


for _command in (test_command, who_can_command, what_can_command, diff_command):
    policy.add_command(_command)
