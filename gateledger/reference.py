"""docs/configuration.md, made from the settings themselves.

`python -m gateledger.reference` prints it; `make docs` writes it, and a test holds the two equal.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, get_args, get_origin

from gateledger.settings import Settings
from service.settings import Section

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

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
        for _, section in _inner(field.annotation):
            parts.extend(tables(name, section))
    return "\n".join(parts)


def tables(title: str, section: type[Section]) -> Iterator[str]:
    """A table of a section's keys, and one of each section below it."""
    yield _table(title, f"{(section.__doc__ or '').strip()}\n\n", section.model_fields)
    for key, field in section.model_fields.items():
        for many, inner in _inner(field.annotation):
            yield from tables(f"{title}.{key}{'[]' * many}", inner)


def _inner(annotation: object) -> Iterator[tuple[bool, type[Section]]]:
    """The sections that an annotation speaks of, and whether there may be several of one."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        yield False, annotation
    for one in get_args(annotation):
        for many, section in _inner(one):
            yield many or get_origin(annotation) is tuple, section


def _table(title: str, text: str, fields: Mapping[str, FieldInfo]) -> str:
    rows = [f"| `{key}` | {_default(field)} | {_meaning(field)} |\n" for key, field in fields.items()]
    return f"## {title}\n\n{text}| key | default | meaning |\n|---|---|---|\n{''.join(rows)}"


def _meaning(field: FieldInfo) -> str:
    # A bar would end the cell.
    return (field.description or "").replace("|", "\\|")


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.default
    if value is None or value in ("", (), {}):
        # What is left out is derived, or not there; its description says which.
        return "derived" if "Default: " in (field.description or "") else "none"
    if isinstance(value, Section) or (isinstance(value, tuple) and isinstance(value[0], Section)):
        return "see below"
    return f"`{json.dumps(value, default=str)}`"


if __name__ == "__main__":
    sys.stdout.write(rendered())
