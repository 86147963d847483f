from __future__ import annotations

import runpy
import signal
import sys
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable


class Worker(ModuleType):
    """Instead of the worker: tells what Ctrl-C does to it while it is imported."""

    @property
    def main(self) -> Callable[[], object]:
        found = signal.getsignal(signal.SIGINT)
        return lambda: found


def test_ctrl_c_is_the_parents_from_before_the_worker_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "extauthz.workers.worker", Worker("extauthz.workers.worker"))
    before = signal.getsignal(signal.SIGINT)
    try:
        with pytest.raises(SystemExit) as ended:
            runpy.run_module("extauthz.workers", run_name="__main__")
    finally:
        signal.signal(signal.SIGINT, before)

    assert ended.value.code is signal.SIG_IGN
