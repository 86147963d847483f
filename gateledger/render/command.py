"""`gateledger envoy render`: render, have the real Envoy judge, and only then leave the result."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateledger.bootstrap import BootstrapError
from gateledger.files import write_private
from gateledger.gate_lint import problems
from gateledger.render.build import built
from gateledger.render.written import Beside, as_bytes, extauthz_part, write_secrets
from gateledger.stack.programs import envoy_binary
from gateledger.validation import refusal

if TYPE_CHECKING:
    from pathlib import Path

    from gateledger.services.model import Services
    from gateledger.settings import Settings


def rendered(settings: Settings, services: Services, admin_socket: Path, output: Path, source: str) -> Beside:
    """Write the bootstrap and what goes with it. Raises BootstrapError and OSError."""
    beside = Beside(output)
    gate = built(settings, services, admin_socket, beside.secrets)
    if open_ends := problems(gate.bootstrap, gate.identity):
        raise BootstrapError("\n".join(f"{source}: {problem}" for problem in open_ends))
    write_secrets(beside.secrets, gate.secrets)
    trial = output.with_name(f"{output.name}.trial.json")
    write_private(trial, as_bytes(gate.bootstrap))
    try:
        if why := refusal(envoy_binary(settings), trial):
            raise BootstrapError(f"{source}: Envoy refuses what it renders to: {why}")
        write_private(beside.extauthz, extauthz_part(gate, output.name, source))
        trial.rename(output)
    finally:
        trial.unlink(missing_ok=True)
    return beside
