"""The files that ship beside the code: the Envoy bootstrap and the default policy."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def asset(name: str) -> Path:
    """The path of a shipped file, e.g. "policies/model.conf": in an installed wheel, else in the tree."""
    installed = _PACKAGE / "assets" / name
    return installed if installed.exists() else _PACKAGE.parent / name
