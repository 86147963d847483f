"""The README's commands print what the README says they print."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from stack_process import GATELEDGER, StackProcess

ROOT = Path(__file__).resolve().parents[2]
# The bar: a refusal stands in the ledger within three seconds of its request. The rest is for a busy machine.
PATIENCE_SECONDS = 20.0

# What differs from run to run, each put in place of itself so that columns stay where they are.
VOLATILE = [
    (re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"), "<id>"),
    (re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}Z"), "<time>"),
]


@dataclass(frozen=True)
class Command:
    text: str
    output: str


def commands() -> list[Command]:
    """The `$ …` lines of the README's console blocks, each with what follows it."""
    blocks = re.findall(r"^```console\n(.*?)^```", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE)
    found = []
    for block in blocks:
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            text, _, output = part.partition("\n")
            found.append(Command(text, output))
    return found


def masked(text: str) -> str:
    for pattern, name in VOLATILE:
        text = pattern.sub(name, text)
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackProcess]:
    """A stack that has seen nothing yet, as a reader's has."""
    with StackProcess(tmp_path_factory.mktemp("gl") / "home") as running:
        yield running


def test_the_readme_session_prints_what_the_readme_shows(fresh: StackProcess) -> None:
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("GATELEDGER_")},
        "GATELEDGER_HOME": str(fresh.home),
    }
    session = ""
    compared = 0
    for command in commands():
        text = command.text.replace("127.0.0.1:10000", fresh.proxy).replace(
            ".venv/bin/gateledger", str(GATELEDGER)
        )
        if text.startswith("TOKEN="):
            session += text + "\n"
            continue
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            done = subprocess.run(
                ["bash", "-euc", session + text],
                cwd=ROOT,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )
            if masked(done.stdout) == masked(command.output) or time.monotonic() > deadline:
                break
            assert "audit" in text, f"only the ledger may take its time: {text}\n{done.stdout}{done.stderr}"
        assert masked(command.output) == masked(done.stdout), done.stderr
        compared += 1

    assert compared >= 5
