from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import structlog

from extauthz.left_over import seal_left_over
from spool import Appender, sealed_segments


def left_open(directory: Path) -> None:
    """A journal as a kill leaves it."""
    whole = Appender(directory, segment_bytes=2**20, segment_seconds=60, max_bytes=2**30, reserve_bytes=0)
    whole.append(b"{}", b"x").result(10)
    (file,) = directory.glob("*.open")
    content = file.read_bytes()
    whole.close()
    for sealed in sealed_segments(directory):
        sealed.path.unlink()
    file.write_bytes(content)


def test_journals_of_workers_that_will_not_come_are_sealed_and_no_others(tmp_path: Path) -> None:
    for name in ("0", "1", "2"):
        left_open(tmp_path / name)
    (tmp_path / "3").write_text("no directory")
    (tmp_path / "x").mkdir()

    with structlog.testing.capture_logs() as logs:
        seal_left_over(tmp_path, 2, structlog.get_logger())

    assert [len(list((tmp_path / name).glob("*.open"))) for name in ("0", "1", "2")] == [1, 1, 0]
    assert len(sealed_segments(tmp_path / "2")) == 1
    assert [(one["log_level"], "/3" in one["error"]) for one in logs] == [("warning", True)]


@pytest.mark.parametrize(
    ("error", "told"),
    [
        pytest.param(FileNotFoundError(2, "No such file or directory"), [], id="none yet"),
        pytest.param(PermissionError(13, "Permission denied"), ["Permission denied"], id="unreadable"),
    ],
)
def test_a_directory_that_cannot_be_looked_into_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError, told: list[str]
) -> None:
    def refuse(_: Path) -> Any:
        raise error

    monkeypatch.setattr(Path, "iterdir", refuse)

    with structlog.testing.capture_logs() as logs:
        seal_left_over(tmp_path, 1, structlog.get_logger())

    assert [one["error"] for one in logs] == told
