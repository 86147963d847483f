from __future__ import annotations

from pathlib import Path

from gateledger.reference import rendered
from gateledger.settings import Settings

ROOT = Path(__file__).resolve().parents[3]


def test_the_configuration_page_is_what_the_settings_say() -> None:
    assert (ROOT / "docs" / "configuration.md").read_text() == rendered(), "run `make docs`"


def test_every_setting_has_a_line_with_a_meaning() -> None:
    text = rendered()

    for name, field in Settings.model_fields.items():
        for key, inner in getattr(field.annotation, "model_fields", {}).items():
            assert inner.description, f"{name}.{key} has no description"
            assert f"| `{key}` |" in text
