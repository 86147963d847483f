"""What is wrong with a model or a policy, and where."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


# A policy of 100,000 rows may have as many findings; a log and a probe need no more to send someone to lint.
_MOST_TOLD = 100


class Severity(enum.StrEnum):
    """An error refuses the policy; a warning is shown and the policy is used."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Finding:
    """One remark about a file. `line` counts from 1; 0 means the file as a whole."""

    path: str
    line: int
    severity: Severity
    code: str
    message: str

    def __str__(self) -> str:
        where = f"{self.path}:{self.line}" if self.line else self.path
        return f"{where}: {self.severity}[{self.code}]: {self.message}"


class PolicyError(Exception):
    """A model or policy that is refused, with all findings at once (warnings included)."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        self.findings = tuple(findings)
        super().__init__("\n".join(str(finding) for finding in self.findings))


def errors(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    return tuple(finding for finding in findings if finding.severity is Severity.ERROR)


@dataclass(frozen=True, slots=True)
class Report:
    """Collects findings about one file."""

    path: str
    findings: list[Finding]

    def error(self, line: int, code: str, message: str) -> None:
        self.findings.append(Finding(self.path, line, Severity.ERROR, code, message))

    def warning(self, line: int, code: str, message: str) -> None:
        self.findings.append(Finding(self.path, line, Severity.WARNING, code, message))


def told(findings: Sequence[Finding]) -> list[str]:
    """Findings as they are logged and shown by a service: errors first, and of very many the first ones."""
    ordered = sorted(findings, key=lambda finding: finding.severity is not Severity.ERROR)
    lines = [str(finding) for finding in ordered[:_MOST_TOLD]]
    left = len(ordered) - len(lines)
    return [*lines, f"and {left:,} more: gateledger policy lint tells all"] if left else lines
