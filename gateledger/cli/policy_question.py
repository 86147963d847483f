"""`gateledger policy who-can` and `what-can`: who may do one thing, and all that one subject may do."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

import click

from access import BadPath, normalise
from access.subject import ANONYMOUS_NAME, ROLE_PREFIX
from extauthz.analysis.domain import domain_of
from extauthz.analysis.people import implied_roles, names_of, stranger
from extauthz.analysis.unanswerable import Unanswerable
from extauthz.analysis.what_can import what_can
from extauthz.analysis.who_can import Kind, who_can
from extauthz.identity_name import subject_problem
from gateledger.cli.options import Unusable, common, format_option
from gateledger.cli.output import emit
from gateledger.cli.policy_files import loaded, policy_files

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from extauthz.analysis.what_can import Region, Right
    from extauthz.analysis.who_can import Holder
    from extauthz.engine import Engine, Source
    from extauthz.engine.rows import Row
    from gateledger.settings import Settings


@click.command("who-can")
@click.argument("values", nargs=-1, required=True)
@common
@policy_files
@format_option
def who_can_command(*, settings: Settings, source: Source, values: tuple[str, ...], format_: str) -> None:
    """Say who may do one thing: every subject that the policy names, and the roles that let others in.

    VALUES are a request without its subject, in the order of the model's request_definition; with the
    default model: service, path, method. The answer is exact: patterns, roles of roles and denials count.

    \b
      gateledger policy who-can orders /orders/1 GET
    """
    engine, attributes = loaded(source, settings)
    others = _without_subject(engine, engine.model.request)
    if len(values) != len(others):
        wanted = " ".join(name.upper() for name in others)
        raise Unusable(
            f"{len(values)} values, this model's requests have {len(others)} beside the subject: {wanted}"
        )
    if attributes:
        values = tuple(map(_usable, values, _without_subject(engine, attributes)))
    with exact(source):
        found = who_can(engine, values, attributes)
    if format_ == "json":
        request = dict(zip(others, values, strict=True))
        answer = {"request": request, "who": [_plain_holder(one) for one in found]}
        click.echo(json.dumps({**answer, "policy_version": engine.version}, indent=2))
        return
    columns = ("who", "roles", "line", "rule", "unless the token brings")
    rows = [
        (_who(one), " → ".join(one.role_path), _line(one.row), _text(one.row), ", ".join(one.unless))
        for one in found
    ]
    if found or format_ == "csv":
        emit(columns, rows, format_)
    else:
        click.echo("nobody")


def _usable(value: str, attribute: str) -> str:
    """A value as a request would have it. Raises Unusable for one that no request has."""
    problem = ""
    if attribute == "resource":
        try:
            return normalise(value)
        except BadPath as bad:
            problem = f": {bad.cause}"
    domain = domain_of(attribute, 0)
    if problem or not domain.holds(value):
        raise Unusable(
            f"{value!r} is no {domain.name} that a request can have{problem}; see --help for the order"
        )
    return value


def _who(holder: Holder) -> str:
    if holder.kind is Kind.ROLE:
        return f"anyone with {holder.name}"
    if holder.kind is Kind.ANYONE:
        return f"anyone like {holder.name}" if holder.name else "anyone else"
    return holder.name


def _plain_holder(holder: Holder) -> dict[str, Any]:
    return {
        "kind": holder.kind.value,
        "name": holder.name,
        "role_path": list(holder.role_path),
        "line": _line(holder.row),
        "rule": _text(holder.row) or None,
        "unless": list(holder.unless),
    }


@click.command("what-can")
@click.argument("subject")
@click.option("--role", "roles", multiple=True, help="A role that the token brings (with or without role:).")
@common
@policy_files
@format_option
def what_can_command(
    *, settings: Settings, source: Source, subject: str, roles: tuple[str, ...], format_: str
) -> None:
    """Say all that SUBJECT may do, as patterns; what is denied within them stands behind "except".

    SUBJECT is a name, `anonymous`, or role:NAME for a subject of which only the role is known. A request
    is allowed exactly if it fits a line and none of the line's exceptions.

    \b
      gateledger policy what-can bob
      gateledger policy what-can role:support
    """
    engine, attributes = loaded(source, settings)
    brought = tuple(role if role.startswith(ROLE_PREFIX) else ROLE_PREFIX + role for role in roles)
    name = subject
    if attributes and subject.startswith(ROLE_PREFIX):
        name, brought = stranger(engine, attributes), (subject, *brought)
    carried = brought
    if attributes:
        _check_subject(name, brought)
        carried = (*implied_roles(name), *brought)
    known = names_of(engine)
    for unknown in (one for one in dict.fromkeys((subject, *brought)) if one not in known):
        click.echo(f"{source.policy_path} does not name {unknown}", err=True)
    with exact(source):
        found = what_can(engine, name, carried, attributes)
    columns = _without_subject(engine, engine.model.request)
    if format_ == "json":
        answer = {
            "subject": subject,
            "roles": list(carried),
            "may": [_plain_right(one, columns) for one in found],
        }
        click.echo(json.dumps({**answer, "policy_version": engine.version}, indent=2))
    elif found or format_ == "csv":
        rows = [
            (
                *one.region.conditions,
                "; ".join(map(_exception, one.exceptions)),
                _line(one.region.row),
                _text(one.region.row),
            )
            for one in found
        ]
        emit((*columns, "except", "line", "rule"), rows, format_)
    else:
        click.echo("nothing")


def _check_subject(name: str, roles: Sequence[str]) -> None:
    if name == ANONYMOUS_NAME:
        if roles:
            raise Unusable(f"{ANONYMOUS_NAME} has no token that could bring roles")
        return
    problem = subject_problem(name)
    if problem:
        raise Unusable(f"the subject {name!r} {problem}; no request has it")


def _exception(region: Region) -> str:
    return f"{' '.join(region.conditions)} (line {_line(region.row)})"


def _plain_right(right: Right, columns: Sequence[str]) -> dict[str, Any]:
    return {
        **_plain_region(right.region, columns),
        "except": [_plain_region(one, columns) for one in right.exceptions],
        "witness": list(right.witness),
    }


def _plain_region(region: Region, columns: Sequence[str]) -> dict[str, Any]:
    where = dict(zip(columns, region.conditions, strict=True))
    return {"where": where, "line": _line(region.row), "rule": _text(region.row) or None}


def _line(row: Row | None) -> int | None:
    return row.line if row else None


def _text(row: Row | None) -> str:
    return row.text if row else ""


def _without_subject(engine: Engine, values: Sequence[str]) -> tuple[str, ...]:
    subject = engine.model.subject
    return (*values[:subject], *values[subject + 1 :])


@contextlib.contextmanager
def exact(*sources: Source) -> Iterator[None]:
    """Turn what has no exact answer into a refusal."""
    try:
        yield
    except Unanswerable as reason:
        names = " and ".join(dict.fromkeys(source.policy_path for source in sources))
        raise Unusable(f"{names}: cannot be answered exactly: {reason}") from reason
