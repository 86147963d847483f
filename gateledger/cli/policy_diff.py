"""`gateledger policy diff`: which decisions a change of policy changes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from extauthz.analysis.diff import diff
from gateledger.cli.options import Unusable, common, format_option
from gateledger.cli.output import emit
from gateledger.cli.policy_files import loaded, source_of
from gateledger.cli.policy_question import exact

if TYPE_CHECKING:
    from collections.abc import Sequence

    from extauthz.analysis.diff import Change, Decision
    from extauthz.engine import Engine, Source
    from gateledger.settings import Settings

_PATH = click.Path(path_type=Path)
# Names that a line for people shows, of those who see a change.
_SHOWN = 8


@click.command("diff")
@click.argument("old", type=_PATH)
@click.argument("new", type=_PATH)
@click.option(
    "--model", type=_PATH, help="Casbin model of both. Default: the one beside each, or extauthz.model."
)
@common
@format_option
def diff_command(*, settings: Settings, old: Path, new: Path, model: Path | None, format_: str) -> None:
    """Say which decisions change from the policy OLD to the policy NEW.

    Each is a policy CSV, or a folder with policy.csv and model.conf. For every pair of rules that answer
    differently there is one request that shows it, and who sees it. Exit code 1 if anything changes.
    """
    sources = _source(old, model, settings), _source(new, model, settings)
    (before, attributes), (after, others) = (loaded(source, settings) for source in sources)
    if attributes != others:
        raise Unusable(
            "one of the two models is for HTTP requests as extauthz.request gives them, the other is not"
        )
    with exact(*sources):
        changes = diff(before, after, attributes)
    if format_ == "json":
        click.echo(json.dumps(_plain(before, after, changes), indent=2))
    elif format_ == "csv":
        _csv(changes)
    else:
        _say(before, after, changes)
    if changes:
        raise SystemExit(1)


def _source(path: Path, model: Path | None, settings: Settings) -> Source:
    if not path.is_dir():
        return source_of(model or settings.extauthz.model, path)
    beside = path / "model.conf"
    return source_of(model or (beside if beside.exists() else settings.extauthz.model), path / "policy.csv")


def _say(before: Engine, after: Engine, changes: Sequence[Change]) -> None:
    for change in changes:
        roles = f"  with {', '.join(change.roles)}" if change.roles else ""
        click.echo(f"{' '.join(change.witness)}{roles}: {_word(change.old)} → {_word(change.new)}")
        click.echo(f"  old  {_rule(before, change.old)}")
        click.echo(f"  new  {_rule(after, change.new)}")
        who = _who(change)
        if who:
            click.echo(f"  who  {who}")
    taken = sum(change.old.allowed for change in changes)
    given = len(changes) - taken
    click.echo(f"{taken} allow → deny, {given} deny → allow" if changes else "no decision changes")


def _word(decision: Decision) -> str:
    return "allow" if decision.allowed else "deny"


def _rule(engine: Engine, decision: Decision) -> str:
    if decision.row is None:
        return "no rule denies" if decision.allowed else "no rule allows"
    return f"{engine.source.policy_path}:{decision.row.line}: {decision.row.text}"


def _who(change: Change) -> str:
    """Who sees the change, shortened for people; JSON and CSV have all."""
    names = [
        *(["anyone else"] if change.anyone else []),
        *change.subjects,
        *(f"anyone with {role}" for role in change.by_role),
    ]
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _plain(before: Engine, after: Engine, changes: Sequence[Change]) -> dict[str, Any]:
    return {
        "old": {"policy": before.source.policy_path, "version": before.version},
        "new": {"policy": after.source.policy_path, "version": after.version},
        "changes": [
            {
                "request": list(change.witness),
                "roles": list(change.roles),
                "old": _plain_decision(change.old),
                "new": _plain_decision(change.new),
                "subjects": list(change.subjects),
                "anyone": change.anyone,
                "by_role": list(change.by_role),
            }
            for change in changes
        ],
    }


def _plain_decision(decision: Decision) -> dict[str, Any]:
    row = decision.row
    return {"effect": _word(decision), "line": row.line if row else None, "rule": row.text if row else None}


def _csv(changes: Sequence[Change]) -> None:
    columns = (
        "request",
        "roles",
        "old",
        "old_line",
        "old_rule",
        "new",
        "new_line",
        "new_rule",
        "subjects",
        "anyone",
        "by_role",
    )
    rows = [
        (
            " ".join(change.witness),
            ",".join(change.roles),
            *_plain_decision(change.old).values(),
            *_plain_decision(change.new).values(),
            ",".join(change.subjects),
            change.anyone,
            ",".join(change.by_role),
        )
        for change in changes
    ]
    emit(columns, rows, "csv")
