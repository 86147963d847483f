from __future__ import annotations

import operator
from typing import Any

import pytest
from pydantic import ValidationError

from extauthz.config_version import config_version
from extauthz.engine import Extensions, PolicyError
from extauthz.extensions import extensions_of
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
        pytest.param({"eval_rules": True}, id="expressions in rules"),
        pytest.param({"functions": {"mine": "operator:eq"}}, id="a function of one's own"),
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


def test_functions_of_ones_own_are_imported() -> None:
    found = extensions_of(settings(eval_rules=True, functions={"starts": "operator:contains"}))

    assert found == Extensions(eval_rules=True, functions={"starts": operator.contains})


@pytest.mark.parametrize(
    ("place", "message"),
    [
        pytest.param("no_such_module:f", "ModuleNotFoundError", id="no module"),
        pytest.param("operator:no_such", "AttributeError", id="no such name in it"),
        pytest.param("string:digits", "TypeError: digits is no function", id="no function"),
    ],
)
def test_functions_that_cannot_be_imported_are_found_at_once(place: str, message: str) -> None:
    with pytest.raises(PolicyError) as refused:
        extensions_of(settings(functions={"first": place, "second": place}))

    assert len(refused.value.findings) == 2
    assert f"extauthz.functions: error[function]: first: {place} cannot be imported: {message}" in str(
        refused.value
    )


@pytest.mark.parametrize(
    ("functions", "message"),
    [
        pytest.param({"keyMatch2": "operator:eq"}, "Casbin uses itself", id="a function of Casbin's"),
        pytest.param({"mine": "operator.eq"}, "not written MODULE:FUNCTION", id="no colon"),
        pytest.param({"mine": "os:system('id')"}, "not written MODULE:FUNCTION", id="a call"),
    ],
)
def test_functions_that_mean_something_else_are_refused(functions: dict[str, str], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        settings(functions=functions)
