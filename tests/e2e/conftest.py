from __future__ import annotations

from collections.abc import Iterator

import pytest
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
