"""Every message, field, enum value and method of ours stands in Envoy's full API with the same meaning."""

from __future__ import annotations

from typing import Any

import pytest
from descriptors import described

from protos.gen import accesslog_pb2, als_pb2, core_pb2, ext_authz_pb2, http_status_pb2

OURS = described(
    [module.DESCRIPTOR for module in (core_pb2, http_status_pb2, ext_authz_pb2, accesslog_pb2, als_pb2)]
)

# Fields of ours that xds-protos ends before, each with Envoy's release. Empty today: its 1.85.0
# has error_response (Envoy 1.37) and everything else that we name.
NEWER_THAN_THE_LIBRARY: set[str] = set()

FIELDS = [f"{message}.{field}" for message, fields in OURS["messages"].items() for field in fields]
VALUES = [f"{enum}.{value}" for enum, values in OURS["enums"].items() for value in values]


@pytest.mark.parametrize("name", FIELDS)
def test_a_field_has_envoys_number_type_and_oneof(name: str, full_api: dict[str, Any]) -> None:
    message, _, field = name.rpartition(".")
    ours = OURS["messages"][message][field]
    theirs = full_api["messages"][message].get(field)

    if name in NEWER_THAN_THE_LIBRARY:
        assert theirs is None, f"{name} is in xds-protos by now: take it off the list"
    else:
        assert theirs == ours


@pytest.mark.parametrize("name", VALUES)
def test_an_enum_value_has_envoys_number(name: str, full_api: dict[str, Any]) -> None:
    enum, _, value = name.rpartition(".")

    assert full_api["enums"][enum][value] == OURS["enums"][enum][value]


@pytest.mark.parametrize("method", OURS["methods"])
def test_a_method_has_envoys_path_types_and_streams(method: str, full_api: dict[str, Any]) -> None:
    assert full_api["methods"][method] == OURS["methods"][method]


def test_what_is_compared_is_the_wire_that_we_serve() -> None:
    assert set(OURS["methods"]) == {
        "/envoy.service.auth.v3.Authorization/Check",
        "/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs",
    }
    assert len(FIELDS) > 150
