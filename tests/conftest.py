"""How tests are spread over the workers of pytest-xdist (`make test`): slow ones first, sharers together.

What shares a running process is one group, which one worker runs: it is started once. All else goes by file.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

# A busy machine is no failure.
settings.register_profile("gateledger", deadline=None)
settings.load_profile("gateledger")
ROOT = Path(__file__).parent
# Longest first, so that no worker is left with a long one in the end.
ORDER = ("e2e", "faults", "integration", "properties", "conformance", "unit")
# Fixtures of a session that start processes. Their users are spread over so many groups.
SHARED = ("stack", "corpus_run")


def pytest_itemcollected(item: pytest.Item) -> None:
    item.add_marker(pytest.mark.xdist_group(group(item)))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: ORDER.index(folder(item)))
    if getattr(config.option, "loadgroup", False):
        for item in items:
            _name_group(item)


def _name_group(item: pytest.Item) -> None:
    """pytest-xdist (3.8) puts the group into `_nodeid`, which pytest from 9.2 on no longer reads: without this
    every test is a group of its own, and each worker starts every shared process.
    """
    if hasattr(item, "_id") and "@" not in item.nodeid.rpartition("]")[2]:
        item._id = type(item._id).parse(f"{item.nodeid}@{group(item)}")


def folder(item: pytest.Item) -> str:
    return item.path.relative_to(ROOT).parts[0]


def group(item: pytest.Item) -> str:
    shared = [name for name in SHARED if name in getattr(item, "fixturenames", ())]
    return shared[0] if shared else str(item.path.relative_to(ROOT))
