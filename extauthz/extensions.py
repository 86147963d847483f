"""The functions of one's own that the settings name, imported: the one place where they become code."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from extauthz.engine import Extensions, Finding, PolicyError, Severity

if TYPE_CHECKING:
    from collections.abc import Callable

    from extauthz.settings import ExtAuthzSettings

_WHERE = "extauthz.functions"


def extensions_of(settings: ExtAuthzSettings) -> Extensions:
    """What the model may use. Raises PolicyError with a finding for each function that cannot be had."""
    functions: dict[str, Callable[..., Any]] = {}
    problems = []
    for name, place in settings.functions.items():
        try:
            functions[name] = _imported(place)
        except Exception as error:  # noqa: BLE001 - whatever a module of one's own raises when it is imported
            problems.append(_finding(f"{name}: {place} cannot be imported: {type(error).__name__}: {error}"))
    if problems:
        raise PolicyError(problems)
    return Extensions(settings.eval_rules, functions)


def _imported(place: str) -> Callable[..., Any]:
    module, _, attribute = place.partition(":")
    function = getattr(importlib.import_module(module), attribute)
    if not callable(function):
        raise TypeError(f"{attribute} is no function")
    found: Callable[..., Any] = function
    return found


def _finding(message: str) -> Finding:
    return Finding(_WHERE, 0, Severity.ERROR, "function", message)
