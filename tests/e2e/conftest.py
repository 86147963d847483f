from __future__ import annotations

from collections.abc import Iterator

import pytest
from hostile_run import Run, run
from hostile_stack import HostileStack, hostile_stack
from stack_process import StackProcess


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "e2e" in item.path.parts:
            item.add_marker("e2e")


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackProcess]:
    """One stack for all tests that leave it as they found it."""
    with StackProcess(tmp_path_factory.mktemp("gl") / "home") as running:
        yield running


@pytest.fixture(scope="session")
def corpus_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[HostileStack, Run]]:
    """A stack with a recording upstream, and the corpus of hostile requests sent through it."""
    with hostile_stack(tmp_path_factory.mktemp("gl")) as running:
        yield running, run(running)


@pytest.fixture(scope="session")
def done(corpus_run: tuple[HostileStack, Run]) -> Run:
    """What the corpus left."""
    return corpus_run[1]


@pytest.fixture(scope="session")
def hostile(corpus_run: tuple[HostileStack, Run]) -> HostileStack:
    """The stack that the corpus ran through; what comes now comes after it."""
    return corpus_run[0]
