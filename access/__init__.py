"""The core: subjects, requests, decisions, reason codes and the path normaliser. Pure; no I/O."""

from access.decision import OUTCOMES, Answer, Decision, Effect, LedgerReason, Outcome, ReasonCode
from access.decision_id import uuid7
from access.path import BadPath, Target, normalise, plain_path, readings, split
from access.request import AccessRequest
from access.subject import ANONYMOUS, UNKNOWN, AuthMethod, Subject

__all__ = [
    "ANONYMOUS",
    "OUTCOMES",
    "UNKNOWN",
    "AccessRequest",
    "Answer",
    "AuthMethod",
    "BadPath",
    "Decision",
    "Effect",
    "LedgerReason",
    "Outcome",
    "ReasonCode",
    "Subject",
    "Target",
    "normalise",
    "plain_path",
    "readings",
    "split",
    "uuid7",
]
