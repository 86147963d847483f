"""Every policy text that decides, made durable before it decides; the ledger carries it to audit.policies."""

from __future__ import annotations

import json
import socket
import time
from typing import TYPE_CHECKING

from spool import Appender, SpoolError

if TYPE_CHECKING:
    from pathlib import Path

    from extauthz.engine import Source

_MIB = 1024 * 1024
# A policy is rare and small: it is sent on at once, and old ones never fill the disk.
_SEGMENT_BYTES = 64 * _MIB
_SEGMENT_SECONDS = 0.5
_MAX_BYTES = 1024 * _MIB
_RESERVE_BYTES = 16 * _MIB
_WAIT_SECONDS = 30.0


class Journal:
    """A spool that is opened at the first record, and again after it failed. Not safe for threads."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._appender: Appender | None = None

    def record(self, source: Source) -> None:
        """Make a policy durable; blocks until it is. Raises SpoolError."""
        appender = self._open()
        future = appender.append(*_record(source))
        try:
            future.result(_WAIT_SECONDS)
        except TimeoutError as error:
            raise SpoolError(
                f"spool {self._directory}: the disk did not take the policy within {_WAIT_SECONDS:g} s"
            ) from error

    def close(self) -> None:
        if self._appender is not None:
            self._appender.close()
            self._appender = None

    def _open(self) -> Appender:
        if self._appender is not None and self._appender.failure is not None:
            self.close()
        if self._appender is None:
            self._appender = Appender(
                self._directory,
                segment_bytes=_SEGMENT_BYTES,
                segment_seconds=_SEGMENT_SECONDS,
                max_bytes=_MAX_BYTES,
                reserve_bytes=_RESERVE_BYTES,
            )
        return self._appender


def _record(source: Source) -> tuple[bytes, bytes]:
    origin = {"kind": "policy", "received_at": time.time_ns(), "version": source.version}
    payload = {
        "model": source.model.decode(),
        "policy": source.policy.decode(),
        "model_path": source.model_path,
        "policy_path": source.policy_path,
        "node": socket.gethostname(),
    }
    return _json(origin), _json(payload)


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
