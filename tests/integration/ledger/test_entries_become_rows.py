"""What Envoy sends is what a row of audit.access_log says, column by column."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf import text_format
from ledger_entries import batch_of, select

from ledger.plan import Load
from ledger.plan import batch_of as batch_of_bytes
from protos.gen import accesslog_pb2 as accesslog

Rows = Callable[..., list[dict[str, Any]]]

ABSENT = {
    "time": "1970-01-01 00:00:00.000000000",
    "client_address": "::",
    "client_direct_address": "::",
    "subject_roles": [],
    "response_flags": [],
    "http_response_status_code": 0,
    "request_bytes": 0,
    "response_bytes": 0,
    "duration_us": 0,
    "authz_duration_us": 0,
    "decide_us": 0,
    "rule_line": 0,
    "batch_row": 0,
    "decision": "not_evaluated",
    "reason_code": "not_evaluated",
    "envoy_node": "node-1",
    "log_name": "edge",
    "is_end": True,
}
PER_BATCH = {"batch", "received_at"}

FULL = """
common_properties {
  downstream_remote_address { socket_address { address: "203.0.113.7" port_value: 40000 } }
  downstream_direct_remote_address { socket_address { address: "fe80::1%%eth0" port_value: 1 } }
  upstream_remote_address { socket_address { address: "2001:db8::9" port_value: 8080 } }
  tls_properties {
    tls_version: TLSv1_3
    peer_certificate_properties { subject_alt_name { uri: "spiffe://corp/billing" } subject_alt_name { dns: "b.corp" } }
  }
  start_time { seconds: 1795415980 nanos: 123456789 }
  duration { seconds: 2 nanos: 345678901 }
  time_to_last_downstream_tx_byte { seconds: 1 }
  upstream_cluster: "orders_cluster" route_name: "orders_route" stream_id: "stream-1"
  custom_tags { key: "service" value: "from-route" }
  custom_tags { key: "authz_duration_us" value: "1234" }
  custom_tags { key: "peer_dns_san" value: "a.corp" }
  access_log_type: DownstreamEnd
  metadata { filter_metadata { key: "envoy.filters.http.ext_authz" value { %s } }
    filter_metadata { key: "envoy.filters.http.jwt_authn" value {
      fields { key: "demo" value { struct_value { fields { key: "sub" value { string_value: "mallory" } } } } } } } }
}
protocol_version: HTTP2
request {
  request_method: GET scheme: "https" authority: "shop.example:8443" path: "/internal/orders/1?page=2"
  original_path: "/orders/1?page=2&access_token=hunter2" user_agent: "curl/8" request_id: "req-1"
  request_body_bytes: 10 request_headers_bytes: 99
  request_headers { key: ":method" value: "QUERY" }
  request_headers { key: "traceparent" value: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" }
}
response { response_code { value: 200 } response_body_bytes: 1000 response_headers_bytes: 77
  response_code_details: "via_upstream" }
"""
SAID = {
    "decision_id": "018f-1",
    "effect": "allow",
    "reason_code": "rule_allow",
    "reason": "a rule allows it",
    "subject": "alice@example.com",
    "roles": "role:customer,role:eu",
    "auth_method": "jwt",
    "auth_issuer": "https://issuer.example",
    "service": "orders",
    "action": "QUERY",
    "resource": "/orders/1",
    "rule": "p, role:customer, orders, /orders/*, QUERY, allow",
    "rule_line": "12",
    "policy_version": "a" * 64,
    "config_version": "b" * 64,
    "decide_us": "57",
}
FULL_ROW = {
    **SAID,
    "time": "2026-11-23 06:39:40.123456789",
    "request_id": "req-1",
    "stream_id": "stream-1",
    "trace_id": "0af7651916cd43dd8448eb211c80319c",
    "route_name": "orders_route",
    "upstream_cluster": "orders_cluster",
    "upstream_address": "[2001:db8::9]:8080",
    "subject_roles": ["role:customer", "role:eu"],
    "client_address": "::ffff:203.0.113.7",
    "client_direct_address": "fe80::1",
    "http_request_method": "QUERY",
    "url_scheme": "https",
    "server_address": "shop.example:8443",
    "url_path": "/orders/1",
    "url_path_upstream": "/internal/orders/1",
    "url_query": "page=2&access_token=REDACTED",
    "user_agent_original": "curl/8",
    "network_protocol": "http/2",
    "tls_version": "TLSv1.3",
    "tls_peer_san": "spiffe://corp/billing,a.corp,b.corp",
    "http_response_status_code": 200,
    "response_code_details": "via_upstream",
    "request_bytes": 10,
    "response_bytes": 1000,
    "duration_us": 2_345_678,
    "authz_duration_us": 1234,
    "decide_us": 57,
    "decision": "allow",
    "rule_line": 12,
    "entry_type": "DownstreamEnd",
}
del FULL_ROW["effect"], FULL_ROW["roles"]


def strings(said: dict[str, str]) -> str:
    return "".join(
        f'fields {{ key: "{key}" value {{ string_value: "{text}" }} }} ' for key, text in said.items()
    )


def http(text: str = "") -> accesslog.HTTPAccessLogEntry:
    return text_format.Parse(text, accesslog.HTTPAccessLogEntry())


def tcp(text: str = "") -> accesslog.TCPAccessLogEntry:
    return text_format.Parse(text, accesslog.TCPAccessLogEntry())


def expected(**columns: Any) -> dict[str, Any]:
    return {**ABSENT, **columns}


def whole(row: dict[str, Any]) -> dict[str, Any]:
    """The row with every column that the test does not name absent."""
    return {
        key: value for key, value in row.items() if key not in PER_BATCH and (value != "" or key in ABSENT)
    }


@pytest.mark.parametrize(
    ("entry", "columns"),
    [
        pytest.param(http(FULL % strings(SAID)), FULL_ROW, id="everything"),
        pytest.param(http(), {}, id="nothing"),
        pytest.param(
            http(
                'common_properties { downstream_remote_address { pipe { path: "/run/x" } } '
                'upstream_remote_address { pipe { path: "/run/up.sock" } } }'
            ),
            {"upstream_address": "/run/up.sock", "decision": "fail_open", "reason_code": "fail_open"},
            id="unix sockets",
        ),
        pytest.param(
            http(
                'common_properties { downstream_remote_address { socket_address { address: "not an ip" } } }'
            ),
            {},
            id="an address that is none",
        ),
        pytest.param(
            http("common_properties { time_to_last_downstream_tx_byte { nanos: 5000000 } }"),
            {"duration_us": 5000},
            id="an older Envoy says no duration",
        ),
        pytest.param(
            http("common_properties { duration { seconds: -5 nanos: -7 } start_time { seconds: -9 } }"),
            {},
            id="negative times",
        ),
        pytest.param(
            http("common_properties { start_time { seconds: 9223372036854775807 nanos: 5 } }"),
            {},
            id="a time beyond all columns",
        ),
        pytest.param(
            http(
                'common_properties { metadata { filter_metadata { key: "envoy.filters.http.ext_authz" value {'
                ' fields { key: "ext_authz_duration" value { number_value: 1.2345 } } } } } }'
            ),
            {"authz_duration_us": 1234},
            id="Envoy's own ext_authz_duration",
        ),
        pytest.param(
            http(
                'common_properties { custom_tags { key: "authz_duration_us" value: "-" } '
                'custom_tags { key: "peer_dns_san" value: "-" } custom_tags { key: "service" value: "orders" } }'
            ),
            {"service": "orders"},
            id="tags without a value; the service of an undecided request",
        ),
        pytest.param(
            http('request { request_method: PATCH path: "/a;x=1/b?" }'),
            {"http_request_method": "PATCH", "url_path": "/a;x=1/b", "url_path_upstream": "/a;x=1/b"},
            id="the method by its number, an empty query",
        ),
        pytest.param(
            http('request { path: "/new?a=1" original_path: "/old?b=2" }'),
            {"url_path": "/old", "url_path_upstream": "/new", "url_query": "b=2"},
            id="a rewritten path without a decision",
        ),
        pytest.param(
            http(
                'request { request_headers { key: "traceparent" value: "00-00000000000000000000000000000000-b7ad6b7169203331-01" } }'
            ),
            {},
            id="a trace id of zeros",
        ),
        pytest.param(
            http('request { request_headers { key: "traceparent" value: "garbage" } }'),
            {},
            id="no traceparent",
        ),
        pytest.param(
            http("response { response_code { value: 99999 } }"),
            {"http_response_status_code": 65535},
            id="a status beyond its column",
        ),
        pytest.param(
            http("protocol_version: HTTP10 common_properties { tls_properties { tls_version: TLSv1 } }"),
            {"network_protocol": "http/1.0", "tls_version": "TLSv1"},
            id="the oldest protocols",
        ),
        pytest.param(
            http("common_properties { intermediate_log_entry: true }"),
            {"entry_type": "intermediate", "is_end": False},
            id="intermediate without a type",
        ),
        pytest.param(
            http("common_properties { intermediate_log_entry: true access_log_type: DownstreamStart }"),
            {"entry_type": "DownstreamStart", "is_end": False},
            id="the start of a request",
        ),
        pytest.param(
            http("common_properties { access_log_type: DownstreamTunnelSuccessfullyEstablished }"),
            {"entry_type": "DownstreamTunnelSuccessfullyEstablished", "is_end": False},
            id="a tunnel",
        ),
        pytest.param(
            tcp("""connection_properties { received_bytes: 5 sent_bytes: 18446744073709551615 }
                common_properties { access_log_type: TcpConnectionEnd stream_id: "c1"
                  downstream_remote_address { socket_address { address: "::1" } }
                  upstream_remote_address { socket_address { address: "10.0.0.2" port_value: 5432 } }
                  duration { seconds: 3 } response_flags { upstream_connection_failure: true } }"""),
            {
                "entry_type": "TcpConnectionEnd",
                "network_protocol": "tcp",
                "stream_id": "c1",
                "client_address": "::1",
                "upstream_address": "10.0.0.2:5432",
                "request_bytes": 5,
                "response_bytes": 18446744073709551615,
                "duration_us": 3_000_000,
                "response_flags": ["UF"],
                "decision": "fail_open",
                "reason_code": "fail_open",
            },
            id="a TCP connection",
        ),
        pytest.param(tcp(), {"network_protocol": "tcp"}, id="an empty TCP entry"),
    ],
)
def test_each_column_is_what_was_sent(rows_of: Rows, entry: Any, columns: dict[str, Any]) -> None:
    (row,) = rows_of(entry)

    assert expected(**columns) == whole(row)


FLAGS = {
    "failed_local_healthcheck": "LH", "no_healthy_upstream": "UH", "upstream_request_timeout": "UT",
    "local_reset": "LR", "upstream_remote_reset": "UR", "upstream_connection_failure": "UF",
    "upstream_connection_termination": "UC", "upstream_overflow": "UO", "no_route_found": "NR",
    "delay_injected": "DI", "fault_injected": "FI", "rate_limited": "RL", "rate_limit_service_error": "RLSE",
    "downstream_connection_termination": "DC", "upstream_retry_limit_exceeded": "URX",
    "stream_idle_timeout": "SI", "invalid_envoy_request_headers": "IH", "downstream_protocol_error": "DPE",
    "upstream_max_stream_duration_reached": "UMSDR", "response_from_cache_filter": "RFCF",
    "no_filter_config_found": "NFCF", "duration_timeout": "DT", "upstream_protocol_error": "UPE",
    "no_cluster_found": "NC", "overload_manager": "OM", "dns_resolution_failure": "DF",
    "downstream_remote_reset": "DR",
}  # fmt: skip


def test_every_response_flag_has_envoys_short_name(rows_of: Rows) -> None:
    entries = [
        http(f"common_properties {{ response_flags {{ {text} }} }}")
        for text in [
            *(f"{name}: true" for name in FLAGS),
            "unauthorized_details { reason: EXTERNAL_SERVICE }",
        ]
    ]

    found = [row["response_flags"] for row in rows_of(*entries)]

    assert [[short] for short in [*FLAGS.values(), "UAEX"]] == found
    # And the table names every flag that there is.
    flags = {field.name for field in accesslog.ResponseFlags.DESCRIPTOR.fields}
    assert flags == {*FLAGS, "unauthorized_details"}


@pytest.mark.parametrize(
    ("field", "number", "text"),
    [
        pytest.param("protocol_version", 77, "network_protocol", id="protocol"),
        pytest.param("access_log_type", 77, "entry_type", id="access log type"),
        pytest.param("tls_version", 77, "tls_version", id="TLS version"),
    ],
)
def test_values_of_a_newer_envoy_are_stored_by_their_number(
    rows_of: Rows, field: str, number: int, text: str
) -> None:
    entry = http()
    target = {
        "protocol_version": entry,
        "access_log_type": entry.common_properties,
        "tls_version": entry.common_properties.tls_properties,
    }[field]
    setattr(target, field, number)

    (row,) = rows_of(entry)

    assert "unknown:77" == row[text]


@pytest.mark.parametrize(
    ("stream_id", "request_id"),
    [
        pytest.param("req-1", "req-1", id="the request's"),
        pytest.param("", "req-1", id="absent"),
        pytest.param("", "", id="both absent"),
        pytest.param("stream-1", "req-1", id="another"),
    ],
)
def test_the_id_of_the_stream_is_always_told(rows_of: Rows, stream_id: str, request_id: str) -> None:
    entry = http()
    entry.common_properties.stream_id, entry.request.request_id = stream_id, request_id

    (row,) = rows_of(entry)

    assert (stream_id, request_id) == (row["stream_id"], row["request_id"])


def test_flags_are_told_apart_whatever_else_is_set(rows_of: Rows) -> None:
    both = http(
        "common_properties { response_flags { unauthorized_details { reason: EXTERNAL_SERVICE } "
        "no_route_found: true upstream_retry_limit_exceeded: true downstream_remote_reset: true } }"
    )
    none = http("common_properties { response_flags { unauthorized_details { } } }")
    unknown = http()
    unknown.common_properties.response_flags.unauthorized_details.reason = 7

    found = [row["response_flags"] for row in rows_of(both, none, unknown)]

    assert [["NR", "UAEX", "URX", "DR"], [], ["UAEX"]] == found


def test_bytes_that_are_no_text_are_made_readable(store: Any, client: Any) -> None:
    entry = http('request { path: "/a" user_agent: "zz" authority: "yy" }')
    batch = batch_of(entry)
    # protobuf's own writer refuses such a string; a client and Envoy may not.
    raw = batch.payload.replace(b"zz", b"\xff\xfe").replace(b"yy", b"\xc3\x28")
    store.load(Load((batch_of_bytes(batch.id, batch.source, batch.received_at, [raw], batch.rows),)))

    (row,) = select(client, f"SELECT * FROM audit.access_log WHERE batch = '{batch.id}'")

    assert ("\N{REPLACEMENT CHARACTER}" in row["user_agent_original"], "(" in row["server_address"]) == (
        True,
        True,
    )
