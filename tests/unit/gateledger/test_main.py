"""The frame around every command: exit codes, and sentences instead of tracebacks."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from stack_process import GATELEDGER


def shell(command: str) -> subprocess.CompletedProcess[str]:
    text = command.replace("gateledger", str(GATELEDGER))
    return subprocess.run(["bash", "-c", text], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("command", "code"),
    [
        pytest.param("gateledger --version", 0, id="fine"),
        pytest.param("gateledger bogus", 2, id="unknown command"),
        pytest.param("gateledger token", 2, id="missing argument"),
        pytest.param("gateledger audit list > /dev/full", 2, id="a full disk"),
        pytest.param("gateledger audit list >&-", 2, id="no standard output"),
        pytest.param("gateledger --version 2>&-", 2, id="no standard error"),
    ],
)
def test_a_command_ends_with_its_code_and_without_a_traceback(command: str, code: int) -> None:
    done = shell(command)

    assert done.returncode == code
    assert "Traceback" not in done.stderr


def test_a_reader_that_is_gone_is_no_answer_no(tmp_path: Path) -> None:
    done = shell(f"gateledger audit list --format json > >(exec 0<&-) ; echo $? > {tmp_path}/code")

    assert int((tmp_path / "code").read_text()) in {0, 141}
    assert "Traceback" not in done.stderr
