from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from gateledger.stack.home import Home, HomeError, read_ready


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_home_and_its_secrets_are_for_the_owner_alone(tmp_path: Path) -> None:
    with Home(tmp_path / "home") as home:
        secret = home.root / "secrets" / "clickhouse-writer"
        home.ensure_secret(secret)

        assert mode(home.root) == 0o700
        assert mode(secret) == 0o600
        assert len(secret.read_text().strip()) >= 32


def test_a_secret_is_made_once(tmp_path: Path) -> None:
    with Home(tmp_path) as home:
        home.ensure_secret(home.root / "secret")
        first = (home.root / "secret").read_text()
        home.ensure_secret(home.root / "secret")

        assert (home.root / "secret").read_text() == first


def test_a_second_stack_on_one_home_is_refused_and_told_who_holds_it(tmp_path: Path) -> None:
    with Home(tmp_path), pytest.raises(HomeError, match=f"in use by another .* \\(process {os.getpid()}\\)"):
        Home(tmp_path).__enter__()


def test_a_home_is_free_again_after_its_stack(tmp_path: Path) -> None:
    with Home(tmp_path):
        pass
    with Home(tmp_path) as home:
        assert home.run.is_dir()


def test_a_home_too_long_for_sockets_is_refused_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(HomeError, match="too long for unix sockets"):
        Home(tmp_path / ("x" * 100)).__enter__()


def test_a_home_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(HomeError, match="cannot be used"):
        Home(tmp_path / "file").__enter__()


def test_ready_json_is_gone_with_the_stack(tmp_path: Path) -> None:
    with Home(tmp_path) as home:
        home.write_json(home.ready_file, {"proxy": "x"})
        assert read_ready(tmp_path) == {"proxy": "x"}

    with pytest.raises(HomeError, match="no stack runs here"):
        read_ready(tmp_path)
