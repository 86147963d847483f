"""What is asked: may this subject do this action on this resource of this service?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from access.subject import Subject


@dataclass(frozen=True, slots=True)
class AccessRequest:
    """The authorization question in the field's words. `resource` is the normalised path, without query."""

    subject: Subject
    service: str = ""
    resource: str = ""
    action: str = ""
    host: str = ""
    scheme: str = ""
    client_address: str = ""
