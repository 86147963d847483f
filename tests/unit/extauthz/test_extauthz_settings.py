from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from extauthz.config_version import config_version
from extauthz.settings import ExtAuthzSettings


def settings(**keys: Any) -> ExtAuthzSettings:
    return ExtAuthzSettings.model_validate(keys)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        pytest.param(
            {"issuers": [{"name": "a"}, {"name": "b"}]},
            "'a' and 'b' could each name the other's subjects, because their templates '{sub}' and '{sub}'",
            id="one subject template for two issuers",
        ),
        pytest.param(
            {"issuers": [{"name": "a", "subject": "corp:{sub}"}, {"name": "b", "subject": "{sub}"}]},
            "'a' and 'b' could .* begin each with a text of its own",
            id="a template whose claim may hold the other's prefix",
        ),
        pytest.param(
            {"issuers": [{"name": "a", "subject": "{sub}"}, {"name": "b", "subject": "{email}"}]},
            "'a' and 'b' could",
            id="two claims without a prefix",
        ),
        pytest.param(
            {"issuers": [{"name": "a", "subject": "{iss}#{sub}"}, {"name": "b", "subject": "b:{sub}"}]},
            "'a' and 'b' could",
            id="an issuer's own word for its name",
        ),
        pytest.param(
            {"issuers": [{"name": "a", "subject": "corp{sub}"}, {"name": "b", "subject": "corporate{sub}"}]},
            "'a' and 'b' could",
            id="a prefix that begins the other",
        ),
        pytest.param(
            {
                "issuers": [
                    {"name": "a", "subject": "x:{sub}"},
                    {"name": "b", "subject": "y:{sub}"},
                    {"name": "c", "subject": "y:z:{sub}"},
                ]
            },
            "'b' and 'c' could",
            id="two of three",
        ),
        pytest.param(
            {"issuers": [{"name": "a", "subject": "role:{sub}"}]}, "must not begin with 'role:'", id="a role"
        ),
        pytest.param(
            {"issuers": [{"name": "a", "subject": "anonymous@{sub}"}]},
            "must not begin with 'anonymous@'",
            id="anonymous",
        ),
        pytest.param(
            {"issuers": [{"name": "a", "subject": "anonymous{sub}"}]},
            "must not begin with 'anonymous'",
            id="what can become anonymous",
        ),
        pytest.param(
            {"issuers": [{"name": "a", "subject": "a\u200b{sub}"}]},
            "control characters",
            id="a prefix that no subject may have",
        ),
        pytest.param(
            {"issuers": [{"name": "a"}, {"name": "a", "subject": "{email}"}]},
            "two issuers have the same name 'a'",
            id="one name for two issuers",
        ),
        pytest.param(
            {"issuers": [{"name": "a", "subject": "admin"}]}, "at least one claim", id="a fixed subject"
        ),
        pytest.param(
            {"issuers": [{"name": "a", "subject": "{sub}}"}]}, "at least one claim", id="a stray brace"
        ),
        pytest.param(
            {"issuers": [{"name": "a", "subject": "{}"}]}, "at least one claim", id="no claim's name"
        ),
        pytest.param(
            {"issuers": [{"name": "a.failed"}]}, "ends in .failed", id="a name that means a failure"
        ),
        pytest.param({"issuers": [{"name": ""}]}, "not empty", id="no name"),
        pytest.param({"request": ["subject", "resource", "resource"]}, "no attribute twice", id="twice"),
        pytest.param({"request": ["resource"]}, "must name the subject", id="no subject"),
        pytest.param({"request": ["subject", "path"]}, "Input should be 'subject'", id="unknown attribute"),
    ],
)
def test_settings_that_would_blur_identities_are_refused(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        settings(**keys)


def test_issuers_with_templates_of_their_own_live_side_by_side() -> None:
    found = settings(
        issuers=[{"name": "a", "subject": "corp:{sub}"}, {"name": "b", "subject": "partner:{iss}#{sub}"}]
    )

    assert [issuer.name for issuer in found.issuers] == ["a", "b"]


@pytest.mark.parametrize(
    "keys",
    [
        pytest.param({"issuers": [{"name": "a"}]}, id="an issuer"),
        pytest.param({"path_parameters": True}, id="path parameters"),
        pytest.param({"issuers": [{"name": "a", "roles": ["*"]}]}, id="an issuer's roles"),
        pytest.param(
            {"request": ["subject", "resource", "service", "action"]}, id="the order of the request"
        ),
    ],
)
def test_the_config_version_changes_with_all_that_can_change_a_decision(keys: dict[str, Any]) -> None:
    assert config_version(settings()) != config_version(settings(**keys))


def test_the_config_version_stays_when_nothing_that_decides_changes() -> None:
    assert config_version(settings()) == config_version(settings(metrics="127.0.0.1:1", max_concurrent=7))
