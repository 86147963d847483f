"""docs/configuration.md, made from the settings themselves.

`python -m gateledger.reference` prints it; `make docs` writes it, and a test holds the two equal.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, get_args

from gateledger.settings import Settings
from service.settings import Section

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

HEAD = """# Configuration

<!-- Made by `make docs` from the settings' own definitions: change those, not this file. -->

One YAML file, `gateledger.yaml` in the working directory or named with `--config`. Each key is also
an environment variable: `extauthz.max_concurrent` is `GATELEDGER_EXTAUTHZ__MAX_CONCURRENT`; lists and
objects are written there as JSON. The command line wins over the environment, the environment over the
file. Everything has a default; an unknown key is an error. Paths are relative to the working directory;
HOME is `home` below.

```yaml
extauthz:
  policy: policies/policy.csv
  max_concurrent: 256
```
"""


def rendered() -> str:
    """The text of docs/configuration.md."""
    parts = [HEAD, _table("The top", "", {"home": Settings.model_fields["home"]})]
    for name, field in Settings.model_fields.items():
        section = field.annotation
        if isinstance(section, type) and issubclass(section, Section):
            parts.append(_table(name, f"{(section.__doc__ or '').strip()}\n\n", section.model_fields))
            parts.extend(
                _table(f"{name}.{key}[]", f"{(inner.__doc__ or '').strip()}\n\n", inner.model_fields)
                for key, field_of in section.model_fields.items()
                for inner in get_args(field_of.annotation)
                if isinstance(inner, type) and issubclass(inner, Section)
            )
    return "\n".join(parts)


def _table(title: str, text: str, fields: dict[str, FieldInfo]) -> str:
    rows = [f"| `{key}` | {_default(field)} | {field.description} |\n" for key, field in fields.items()]
    return f"## {title}\n\n{text}| key | default | meaning |\n|---|---|---|\n{''.join(rows)}"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    # What is left out is derived; its description says from what.
    value = field.default
    return "derived" if value is None or value in ("", ()) else f"`{json.dumps(value, default=str)}`"


if __name__ == "__main__":
    sys.stdout.write(rendered())
