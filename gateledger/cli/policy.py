"""`gateledger policy …`: check a policy, and ask it."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from extauthz.engine import EnforceError, PolicyError, Severity, load, read
from extauthz.explanation import Explanation, Question, explain
from gateledger.cli.options import Unusable, common, format_option
from gateledger.cli.output import emit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from extauthz.engine import Engine, Finding, Source
    from gateledger.settings import Settings


@click.group("policy")
def policy() -> None:
    """Check a policy, and ask it."""


def policy_files(command: Callable[..., object]) -> Callable[..., object]:
    """Add --model and --policy, and pass the two texts as `source`; without them, those of the settings."""

    @click.option("--model", type=click.Path(path_type=Path), help="Casbin model. Default: extauthz.model.")
    @click.option(
        "--policy",
        "policy_",
        type=click.Path(path_type=Path),
        help="Casbin policy CSV. Default: extauthz.policy.",
    )
    @functools.wraps(command)
    def with_source(
        *args: Any, settings: Settings, model: Path | None, policy_: Path | None, **options: Any
    ) -> object:
        paths = model or settings.extauthz.model, policy_ or settings.extauthz.policy
        try:
            source = read(*(_path(path) for path in paths))
        except PolicyError as error:
            raise Unusable(str(error)) from error
        return command(*args, settings=settings, source=source, **options)

    return with_source


def _path(path: Path | None) -> Path:
    if path is None:
        raise Unusable("no policy is named; name one with --model and --policy")
    # Shown with every finding: as short as it can be clicked on.
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


@policy.command("lint")
@common
@policy_files
@format_option
def lint(settings: Settings, source: Source, format_: str) -> None:
    """Say what is wrong with the model and the policy.

    An error keeps a policy from being loaded, a warning does not. Exit code 1 on any error.
    """
    engine, findings = load(source, settings.extauthz.request)
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
    engine, attributes = _engine(source, settings)
    if len(values) != len(engine.model.request):
        wanted = " ".join(name.upper() for name in engine.model.request)
        raise Unusable(
            f"{len(values)} values, this model's requests have {len(engine.model.request)}: {wanted}"
        )
    try:
        explanation = explain(engine, Question(values, roles, attributes))
    except EnforceError as error:
        raise Unusable(f"{source.policy_path}: {error}") from error
    _show(explanation, format_)
    if expect and expect != explanation.effect.value:
        raise SystemExit(1)


def _engine(source: Source, settings: Settings) -> tuple[Engine, tuple[str, ...]]:
    """The engine, and what its request values mean; nothing where the settings are for another model."""
    engine, findings = load(source, settings.extauthz.request)
    if engine is not None:
        return engine, settings.extauthz.request
    if any(finding.code == "request" for finding in findings):
        engine, findings = load(source)
        if engine is not None:
            return engine, ()
    raise Unusable("\n".join(str(finding) for finding in findings))


def _show(explanation: Explanation, format_: str) -> None:
    if format_ == "json":
        click.echo(json.dumps(_plain(explanation), indent=2))
    elif format_ == "csv":
        plain = _plain(explanation)
        del plain["nearest"]
        plain["role_path"] = " → ".join(explanation.role_path)
        emit(tuple(plain), [tuple(plain.values())], "csv")
    else:
        click.echo("\n".join(_lines(explanation)))


def _lines(explanation: Explanation) -> list[str]:
    lines = [f"{explanation.effect.value}  {explanation.reason_code.value}: {explanation.reason}"]
    if explanation.rule:
        lines.append(f"  rule   {explanation.path}:{explanation.line}: {explanation.rule}")
    if len(explanation.role_path) > 1:
        lines.append(f"  roles  {' → '.join(explanation.role_path)}")
    for near in explanation.nearest:
        lines.append(f"  near   {explanation.path}:{near.row.line}: {near.row.text}")
        lines.extend(f"           not {clause}" for clause in near.failed)
    return lines


def _plain(explanation: Explanation) -> dict[str, Any]:
    return {
        "effect": explanation.effect.value,
        "reason_code": explanation.reason_code.value,
        "reason": explanation.reason,
        "rule": explanation.rule or None,
        "line": explanation.line,
        "role_path": list(explanation.role_path),
        "nearest": [
            {"line": near.row.line, "rule": near.row.text, "failed": list(near.failed)}
            for near in explanation.nearest
        ],
        "policy_version": explanation.version,
    }
