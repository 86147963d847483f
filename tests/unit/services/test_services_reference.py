from __future__ import annotations

from pathlib import Path

import pytest

from gateledger.services.model import Services, sections
from gateledger.services.reading import load
from gateledger.services.reference import rendered

ROOT = Path(__file__).resolve().parents[3]


def test_the_reference_is_what_the_definitions_say() -> None:
    assert (ROOT / "docs" / "services-reference.md").read_text() == rendered(), "run `make docs`"


def test_every_key_has_a_meaning() -> None:
    keys = [line for line in rendered().splitlines() if line.startswith("| `")]

    assert len(keys) > 50
    assert not [line for line in keys if line.endswith(("| None |", "|  |"))]


def test_the_sections_of_a_description_are_found_with_their_places() -> None:
    example = {
        "upstreams": [{"name": "a", "addresses": ["a:1"]}],
        "services": [{"name": "s", "upstream": "a"}],
    }
    places = dict(sections(Services.model_validate(example)))

    assert {("upstreams", 0), ("services", 0), ("identity",), ("listeners", 0)} <= set(places)


def test_the_shipped_examples_are_only_short_of_their_files() -> None:
    found = sorted((ROOT / "envoy" / "examples").rglob("*.yaml"))

    assert len(found) == 2
    for path in found:
        with pytest.raises(Exception, match="cannot be read: No such file") as error:
            load(path)
        assert all("No such file" in line for line in str(error.value).splitlines())
