"""The policy engine: Casbin's answers from a strictly read model and policy.

One package; pycasbin is touched in `reference` alone.
"""

from extauthz.engine.compiled import VERDICT_AT
from extauthz.engine.enforcer import EnforceError, Engine, Mode, load
from extauthz.engine.extension import NO_EXTENSIONS, Extensions
from extauthz.engine.finding import Finding, PolicyError, Severity
from extauthz.engine.source import Source, read
from extauthz.engine.verdict import Verdict

__all__ = [
    "NO_EXTENSIONS",
    "VERDICT_AT",
    "EnforceError",
    "Engine",
    "Extensions",
    "Finding",
    "Mode",
    "PolicyError",
    "Severity",
    "Source",
    "Verdict",
    "load",
    "read",
]
