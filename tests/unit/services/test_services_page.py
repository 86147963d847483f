"""The descriptions that docs/services.md shows can be used as they stand there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateledger.services.reading import parse
from gateledger.settings import load

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "services.md").read_text()
BLOCKS: list[dict[str, Any]] = [
    yaml.safe_load(text) for text in re.findall(r"^```yaml\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
]


def test_the_first_description_is_enough_by_itself() -> None:
    assert parse(yaml.safe_dump(BLOCKS[0]), "page").identity.issuers[0].roles == ("staff",)


@pytest.mark.parametrize("block", [pytest.param(block, id="-".join(block)) for block in BLOCKS[1:]])
def test_each_further_part_fits_the_first(block: dict[str, Any]) -> None:
    assert parse(yaml.safe_dump({**BLOCKS[0], **block}), "page").services


def test_the_settings_of_the_two_services_are_settings(tmp_path: Path) -> None:
    shown = PAGE[PAGE.index("```\nextauthz:") + 4 :]
    (tmp_path / "gateledger.yaml").write_text(shown[: shown.index("```")])
    settings = load(tmp_path / "gateledger.yaml", environ={})

    assert settings.extauthz.tls
    assert settings.alslog.tls


def test_the_complaint_that_the_page_shows_is_the_one_that_comes() -> None:
    text = yaml.safe_dump(BLOCKS[0], sort_keys=False).replace("upstream: shop", "upstrem: shop")
    with pytest.raises(Exception, match=r"no such key here; did you mean upstream\?"):
        parse(text, "services.yaml")
