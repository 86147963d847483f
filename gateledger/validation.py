"""The real Envoy as the judge of a bootstrap."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

from gateledger.bootstrap import BootstrapError

if TYPE_CHECKING:
    from pathlib import Path

LONGEST_REASON = 2000


def refusal(binary: Path, bootstrap: Path) -> str | None:
    """Why Envoy would not start with the bootstrap; None when it would. Raises BootstrapError."""
    try:
        done = subprocess.run(  # noqa: S603 - the configured Envoy and a file of its user
            [binary, "--mode", "validate", "--disable-hot-restart", "--log-level", "error", "-c", bootstrap],
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError as error:
        raise BootstrapError(
            f"{binary}: Envoy cannot be run: {error.strerror}; see the setting envoy.binary"
        ) from error
    return None if done.returncode == 0 else _reason(done.stderr or done.stdout)


def _reason(said: str) -> str:
    """What Envoy says of the cause; it repeats the whole configuration around it."""
    text = said.strip()
    if constraint := re.search(
        r"Proto constraint validation failed \((.{1,500}?)\)(?:: |$)", text, re.DOTALL
    ):
        return constraint[0].removesuffix(": ")
    return (
        text if len(text) <= LONGEST_REASON else f"{text[:LONGEST_REASON]} … (gateledger envoy validate FILE)"
    )
