"""docs/policy.md: its commands print what the page shows, and its tables name what there is."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from gateledger.cli.policy import policy

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "policy.md"
_VERSION = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Command:
    text: str
    output: str


def commands() -> Iterator[Command]:
    """The `$ …` lines of the page's console blocks, up to the END of a here-document, each with what follows it."""
    for block in re.findall(r"^```console\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            first, _, output = part.partition("\n")
            if "<<'END'" in first:
                document, _, output = output.partition("\nEND\n")
                first += f"\n{document}\nEND"
            yield Command(first, output)


def shown(text: str) -> str:
    return "\n".join(line.rstrip() for line in _VERSION.sub("<version>", text).strip().splitlines())


def test_every_command_prints_what_the_page_shows(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "policies", tmp_path / "policies")
    gateledger = tmp_path / "bin" / "gateledger"
    gateledger.parent.mkdir()
    gateledger.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m gateledger "$@"\n')
    gateledger.chmod(0o755)
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("GATELEDGER_")},
        "PATH": f"{gateledger.parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        # The default policy, by the name that it has at the top of the tree.
        "GATELEDGER_EXTAUTHZ__MODEL": "policies/model.conf",
        "GATELEDGER_EXTAUTHZ__POLICY": "policies/policy.csv",
    }
    expected, printed = [], []
    for command in commands():
        done = subprocess.run(
            ["bash", "-c", command.text],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        expected.append((command.text, shown(command.output)))
        printed.append((command.text, shown(done.stdout)))

    assert len(expected) >= 10
    assert expected == printed


def test_every_policy_command_is_on_the_page() -> None:
    assert {f"| `policy {name}` |" for name in policy.commands} <= set(
        re.findall(r"^\| `policy [a-z-]+` \|", PAGE.read_text(), re.MULTILINE)
    )


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("explain", ("bob", "orders", "/orders/1", "GET", "--all")),
        ("explain", ("bob", "orders", "/nowhere", "GET", "--all")),
        ("test", (str(ROOT / "policies/policy_test.yaml"),)),
        ("who-can", ("orders", "/orders/1", "GET")),
        ("what-can", ("bob",)),
        ("diff", (str(ROOT / "policies"), str(ROOT / "policies"))),
    ],
)
def test_the_keys_of_an_object_are_those_that_the_page_promises(
    name: str, arguments: tuple[str, ...]
) -> None:
    (promised,) = re.findall(rf"^\| `{name}` \| (.*) \|$", PAGE.read_text(), re.MULTILINE)

    found = json.loads(CliRunner().invoke(policy, [name, *arguments, "--format", "json"]).stdout)

    assert set(keys(found)) <= set(re.findall(r"`([a-z_]+)`", promised))


def keys(found: object) -> Iterator[str]:
    """The keys of an object and of those in it, but for the model's names in a request."""
    if isinstance(found, Mapping):
        known: Mapping[str, Any] = found
        for key, value in known.items():
            yield key
            if key not in {"where", "request"}:
                yield from keys(value)
    elif isinstance(found, list):
        for one in found:
            yield from keys(one)
