from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

import pytest
from extauthz_process import Service
from policy_texts import SAMPLE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def transport() -> str:
    """What carries the Checks of tests that are not about it."""
    return os.environ.get("TEST_TRANSPORT", "fast")


@pytest.fixture
def make_service(tmp_path: Path, transport: str) -> Iterator[Callable[..., Service]]:
    """Makes services (not started); all of them are gone afterwards."""
    made: list[Service] = []

    def make(name: str = "home", **settings: Any) -> Service:
        home = tmp_path / name
        home.mkdir(mode=0o700)
        (home / "model.conf").write_bytes((SAMPLE / "model.conf").read_bytes())
        (home / "policy.csv").write_bytes((SAMPLE / "policy.csv").read_bytes())
        made.append(Service(home, {"transport": transport, **settings}))
        return made[-1]

    yield make
    for service in made:
        if service.process is not None and service.process.poll() is None:
            os.kill(service.process.pid, signal.SIGKILL)
            service.process.wait()


@pytest.fixture
def service(make_service: Callable[..., Service]) -> Service:
    """A running service with the sample policy."""
    return make_service().start()
