"""A spool in a temporary directory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hand_spool import Spool

from spool import Appender

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def open_spool(directory: Path) -> Iterator[Callable[..., Appender]]:
    """Opens appenders on the directory, and closes them at the end."""
    opened: list[Appender] = []
    limits = {"segment_bytes": 1 << 20, "segment_seconds": 60.0, "max_bytes": 1 << 30, "reserve_bytes": 0}

    def appender(**changes: Any) -> Appender:
        opened.append(Appender(directory, **(limits | changes)))
        return opened[-1]

    yield appender
    for one in opened:
        one.close()


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    """A spool that is written by hand."""
    made = Spool(tmp_path)
    yield made
    made.writer.close()
