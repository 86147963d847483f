"""What every `policy` command starts from: the model and the policy that --model and --policy name, loaded."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from extauthz.engine import PolicyError, load, read
from extauthz.extensions import extensions_of
from gateledger.cli.options import Unusable

if TYPE_CHECKING:
    from collections.abc import Callable

    from extauthz.engine import Engine, Extensions, Source
    from gateledger.settings import Settings


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
        source = source_of(model or settings.extauthz.model, policy_ or settings.extauthz.policy)
        return command(*args, settings=settings, source=source, **options)

    return with_source


def source_of(model: Path | None, policy: Path | None) -> Source:
    """The two files' texts. Raises Unusable for a file that is not named or cannot be read."""
    try:
        return read(*(shown(path) for path in (model, policy)))
    except PolicyError as error:
        raise Unusable(str(error)) from error


def extensions_for(settings: Settings) -> Extensions:
    """What the model may use by the settings. Raises Unusable for functions that cannot be imported."""
    try:
        return extensions_of(settings.extauthz)
    except PolicyError as error:
        raise Unusable(str(error)) from error


def shown(path: Path | None) -> Path:
    """A path as it stands in findings: as short as it can be clicked on."""
    if path is None:
        raise Unusable("no policy is named; name one with --model and --policy")
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def loaded(source: Source, settings: Settings) -> tuple[Engine, tuple[str, ...]]:
    """The engine, and what its request values mean; nothing where the settings are for another model."""
    extensions = extensions_for(settings)
    engine, findings = load(source, settings.extauthz.request, extensions)
    if engine is not None:
        return engine, settings.extauthz.request
    if any(finding.code == "request" for finding in findings):
        engine, findings = load(source, extensions=extensions)
        if engine is not None:
            return engine, ()
    raise Unusable("\n".join(str(finding) for finding in findings))
