"""The real Envoy as the judge of a bootstrap."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from gateledger.bootstrap import BootstrapError

if TYPE_CHECKING:
    from pathlib import Path


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
    return None if done.returncode == 0 else (done.stderr or done.stdout).strip()
