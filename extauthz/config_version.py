"""A name for all that decides beside the policy: identity and mapping settings."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from extauthz.identity_settings import IdentitySettings

if TYPE_CHECKING:
    from extauthz.settings import ExtAuthzSettings


def config_version(settings: ExtAuthzSettings) -> str:
    """SHA-256, in hex, of the settings that can change a decision; the same text gives the same name."""
    include = {*IdentitySettings.model_fields, "eval_rules", "functions", "path_parameters", "request"}
    deciding = settings.model_dump(mode="json", include=include)
    canonical = json.dumps(deciding, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()
