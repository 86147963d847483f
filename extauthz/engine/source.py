"""The two files that make a policy, as bytes, with the version that names them together."""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from extauthz.engine.finding import Finding, PolicyError, Report, Severity

if TYPE_CHECKING:
    import os

_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Source:
    """A model and a policy text, read at one moment."""

    model_path: str
    policy_path: str
    model: bytes
    policy: bytes

    @functools.cached_property
    def version(self) -> str:
        """SHA-256 over the two files' raw SHA-256 digests, model first; in hex."""
        digests = hashlib.sha256(self.model).digest() + hashlib.sha256(self.policy).digest()
        return hashlib.sha256(digests).hexdigest()


def read(model_path: str | os.PathLike[str], policy_path: str | os.PathLike[str]) -> Source:
    """The two files as they are now. Raises PolicyError (code `unreadable`) for each that cannot be read."""
    findings: list[Finding] = []
    texts = [_bytes(Path(path), findings) for path in (model_path, policy_path)]
    if findings:
        raise PolicyError(findings)
    return Source(str(model_path), str(policy_path), *texts)


def text_of(content: bytes, report: Report) -> str:
    """The text of a file, strictly UTF-8 without byte order mark and NUL; otherwise "" and a finding."""
    if content.startswith(_BOM):
        report.error(
            1, "bom", "a byte order mark, which hides the first line from Casbin; save as UTF-8 without BOM"
        )
        return ""
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        report.error(line, "encoding", f"byte 0x{content[error.start]:02x} is not UTF-8; save as UTF-8")
        return ""
    nul = text.find("\0")
    if nul >= 0:
        report.error(text.count("\n", 0, nul) + 1, "nul", "a NUL character; is the file cut or damaged?")
        return ""
    return text


def _bytes(path: Path, findings: list[Finding]) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        message = f"cannot be read: {error.strerror}; name another file or fix its rights"
        findings.append(Finding(str(path), 0, Severity.ERROR, "unreadable", message))
        return b""
