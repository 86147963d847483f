"""A rendered gate as files: the bootstrap, its secrets' files, and the settings of extauthz that go with it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import yaml

from gateledger.files import write_private

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from gateledger.render.gate import Rendered
    from gateledger.render.tls import SecretFile

HEAD = """# The part of extauthz's settings that belongs to {bootstrap}: `python -m extauthz --config` takes it, or
# merge it into your gateledger.yaml. Made by `gateledger envoy render`; both come from {source}.
"""


@dataclass(frozen=True, slots=True)
class Beside:
    """Where the files stand that go with a bootstrap."""

    bootstrap: Path

    @property
    def secrets(self) -> Path:
        return self.bootstrap.with_name(f"{self.bootstrap.stem}.secrets")

    @property
    def extauthz(self) -> Path:
        return self.bootstrap.with_name(f"{self.bootstrap.stem}.extauthz.yaml")


def write_secrets(directory: Path, files: Iterable[SecretFile]) -> None:
    """The files that name certificates; they hold none themselves. Raises OSError."""
    for file in files:
        directory.mkdir(mode=0o700, exist_ok=True)
        write_private(file.path, as_bytes(file.content))


def as_bytes(content: object) -> bytes:
    """JSON, which Envoy reads exactly as written."""
    return (json.dumps(content, indent=1) + "\n").encode()


def extauthz_part(rendered: Rendered, bootstrap: str, source: str) -> bytes:
    """The identity section of extauthz's settings, as a settings file."""
    content = {"extauthz": rendered.identity.model_dump(mode="json", exclude_defaults=True)}
    head = HEAD.format(bootstrap=bootstrap, source=source)
    return (head + yaml.safe_dump(content, sort_keys=False, allow_unicode=True)).encode()
