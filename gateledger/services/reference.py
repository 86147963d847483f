"""docs/services-reference.md, made from the description's own definitions.

`python -m gateledger.services.reference` prints it; `make docs` writes it, and a test holds the two equal.
"""

from __future__ import annotations

import sys

from gateledger.reference import tables
from gateledger.services.model import Services

HEAD = """# services.yaml, key by key

<!-- Made by `make docs` from gateledger/services/: change the definitions there, not this file. -->

What each key means; [services.md](services.md) shows how they go together. Unknown keys are errors, named with
their line. Files are relative to the directory of services.yaml.
"""


def rendered() -> str:
    """The text of docs/services-reference.md."""
    return "\n".join([HEAD, *tables("services.yaml", Services)]).replace("## services.yaml.", "## ")


if __name__ == "__main__":
    sys.stdout.write(rendered())
