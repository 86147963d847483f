"""One's own services with TLS and every kind of caller, through the real Envoy: envoy/examples/identity."""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import grpc
import httpx
import pytest
from caller_cases import CASES, OTHER_KEY, Case, bearer, partner
from own_services import API_KEY, EXAMPLE, HOST, OwnServices, own_services
from stack_process import Answer, eventually


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnServices]:
    with own_services(tmp_path_factory.mktemp("gl")) as running:
        yield running


@pytest.fixture(scope="module")
def outcomes(own: OwnServices) -> dict[str, tuple[Answer, dict[str, object]]]:
    """Every case sent, and all their rows as soon as they are there."""
    # Keys are fetched in the background when Envoy starts.
    eventually(lambda: own.ask("/orders/1", partner()(own)).status == 200, "partner's keys are there")
    answers = {
        case.id: own.ask(case.path, case.headers(own), client=case.client, plain=case.plain) for case in CASES
    }
    wanted = {answer.headers["x-request-id"] for answer in answers.values()}

    def all_rows() -> dict[str, dict[str, object]] | None:
        rows = {row["request_id"]: row for row in own.stack.rows() if row["request_id"] in wanted}
        return rows if set(rows) == wanted else None

    rows = eventually(all_rows, "a row of every case")
    return {id_: (answer, rows[answer.headers["x-request-id"]]) for id_, answer in answers.items()}


@pytest.mark.parametrize("case", [pytest.param(case, id=case.id) for case in CASES])
def test_a_caller_is_who_the_gate_verified_or_refused_with_the_cause(
    outcomes: dict[str, tuple[Answer, dict[str, object]]], case: Case
) -> None:
    answer, row = outcomes[case.id]

    assert answer.status == case.status, row
    assert case.row == {name: row[name] for name in case.row}
    assert case.reason in str(row["reason"])
    assert ("www-authenticate" in answer.headers) is (answer.status == 401)
    assert row["decision"] == ("allow" if case.status == 200 else "deny")


def test_the_upstream_gets_the_subject_and_no_credential(own: OwnServices) -> None:
    headers = [
        *bearer()(own),
        ("x-api-key", API_KEY),
        ("x-subject", "root"),
        ("x-forwarded-client-cert", "URI=x"),
    ]
    answer = own.ask("/orders/1", headers, client="batch")
    got = {name.lower(): value for name, value in answer.json()["headers"]}

    assert got["x-subject"] == "corp:alice"
    assert got["x-roles"] == "role:staff"
    assert not {"authorization", "x-api-key", "x-partner-token", "x-forwarded-client-cert"} & set(got)


def test_no_credential_stands_in_the_ledger(
    own: OwnServices, outcomes: dict[str, tuple[Answer, dict[str, object]]]
) -> None:
    with own.stack.reader() as client:
        sql = "SELECT count() FROM audit.access_log WHERE toString(tuple(*)) LIKE {part:String}"
        found = {
            part: client.query(sql, parameters={"part": f"%{part}%"}).result_rows[0][0]
            for part in (API_KEY, OTHER_KEY, "eyJ")
        }
        named = client.query(sql, parameters={"part": "%key:nightly%"}).result_rows[0][0]

    assert found == {API_KEY: 0, OTHER_KEY: 0, "eyJ": 0}
    assert named > 0, "the search must find what is there"


def refused_or(answer: Callable[[], bytes]) -> bytes:
    """What came back; nothing where the connection was refused, in whichever way that came out."""
    try:
        return answer()
    except (ssl.SSLError, ConnectionError):
        return b""


@pytest.mark.parametrize("client", ["self", "stranger"])
def test_a_certificate_that_our_ca_did_not_sign_ends_the_handshake(own: OwnServices, client: str) -> None:
    def answer() -> bytes:
        with own.tls(client) as connection:
            # With TLS 1.3 a client learns of its refusal with the first bytes that it reads.
            connection.sendall(b"GET /status HTTP/1.1\r\nhost: shop.example.com\r\n\r\n")
            return connection.recv(1)

    assert refused_or(answer) == b""


@pytest.mark.parametrize(
    ("host", "statuses"),
    [
        pytest.param("shop.example.com", (200, 200), id="named"),
        pytest.param("SHOP.example.com.:443", (200, 200), id="named, written otherwise"),
        pytest.param("eu.shop.example.com", (200, 200), id="below the wildcard"),
        pytest.param("other.example.com", (404, 200), id="not named"),
    ],
)
def test_a_service_with_hosts_answers_to_those_alone(
    own: OwnServices, host: str, statuses: tuple[int, int]
) -> None:
    found = own.ask("/status", host=host).status, own.ask("/orders/1", bearer()(own), host=host).status

    assert statuses == found


def test_a_websocket_is_decided_at_its_handshake_and_leaves_its_start_and_its_end(own: OwnServices) -> None:
    token, sent = own.corp.token(), b"\x01\x02any bytes"
    with own.tls() as connection:
        connection.sendall(
            "GET /orders/live/1 HTTP/1.1\r\nhost: shop.example.com\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
            "sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            f"authorization: Bearer {token}\r\n\r\n".encode()
        )
        head = b""
        while b"\r\n\r\n" not in head:
            head += connection.recv(4096)
        connection.sendall(sent)
        echoed = b""
        while len(echoed) < len(sent):
            echoed += connection.recv(4096)
    rows = eventually(
        lambda: len(found := own.stack.rows("url_path = '/orders/live/1'")) > 1 and found,
        "both rows of the socket",
    )

    assert head.startswith(b"HTTP/1.1 101")
    assert echoed == sent
    assert {row["entry_type"] for row in rows} == {"DownstreamTunnelSuccessfullyEstablished", "DownstreamEnd"}
    assert {row["subject"] for row in rows} == {"corp:alice"}


def test_a_websocket_that_the_policy_denies_is_not_opened(own: OwnServices) -> None:
    upgrade = [
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ]

    assert own.ask("/orders/live", upgrade).status == 401
    assert own.ask("/status", upgrade).status == 403, "a service without WebSockets"


def test_a_replaced_certificate_is_shown_to_the_next_client(own: OwnServices) -> None:
    def serial() -> str:
        with own.tls() as connection:
            shown = connection.getpeercert()
            assert shown
            return str(shown["serialNumber"])

    first = serial()
    own.server_ca.swap("server", "127.0.0.1", HOST)
    eventually(lambda: serial() != first, "the certificate behind the new link")
    second = serial()
    own.server_ca.issue("server", "127.0.0.1", HOST)

    eventually(lambda: serial() not in {first, second}, "the certificate that was renamed into its place")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_certificate_is_looked_at_with_every_handshake(own: OwnServices, version: ssl.TLSVersion) -> None:
    context = own.context("batch")
    context.minimum_version = context.maximum_version = version
    host, _, port = own.listeners[0].partition("//")[2].rpartition(":")

    def handshake(session: ssl.SSLSession | None) -> tuple[bool | None, ssl.SSLSession | None]:
        plain = socket.create_connection((host, int(port)), timeout=30)
        with context.wrap_socket(plain, server_hostname=host, session=session) as tls:
            # TLS 1.3 would hand out tickets behind the handshake.
            tls.sendall(f"GET /orders/1 HTTP/1.1\r\nhost: {HOST}\r\n\r\n".encode())
            assert tls.recv(16).startswith(b"HTTP/1.1 ")
            return tls.session_reused, tls.session

    _, session = handshake(None)
    reused, _ = handshake(session)

    assert not reused


@pytest.mark.parametrize("service", ["extauthz", "alslog"])
def test_the_services_let_nobody_in_without_a_certificate(own: OwnServices, service: str) -> None:
    listen = own.stack.ready[service]
    host, _, port = (listen if isinstance(listen, str) else listen[0]).rpartition(":")
    context = ssl.create_default_context(cafile=own.certs / "internal-ca.pem")
    context.set_alpn_protocols(["h2"])

    def answer() -> bytes:
        with (
            socket.create_connection((host, int(port)), timeout=30) as plain,
            context.wrap_socket(plain, server_hostname=f"{service}.internal") as connection,
        ):
            connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]))
            return connection.recv(1)

    assert refused_or(answer) == b""


def test_tls_below_1_2_is_refused(own: OwnServices) -> None:
    context = own.context()
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    host, _, port = own.listeners[0].partition("//")[2].rpartition(":")
    with (
        pytest.raises(ssl.SSLError, match=r"(?i)alert protocol version"),
        socket.create_connection((host, int(port)), timeout=30) as plain,
    ):
        context.wrap_socket(plain, server_hostname="127.0.0.1")


def test_the_commands_of_the_example_print_what_it_says(own: OwnServices) -> None:
    page = (EXAMPLE / "README.md").read_text()
    shown = page[page.index("```console\n") + 11 : page.rindex("```")]
    for shipped, here in zip(("10443", "10080"), own.listeners, strict=True):
        shown = shown.replace(f":{shipped}", f":{here.rpartition(':')[2]}")
    commands = [line.removeprefix("$ ") for line in shown.splitlines() if line.startswith("$ ")]
    done = subprocess.run(
        ["bash", "-c", "\n".join(["shopt -s expand_aliases", *commands])],
        cwd=own.directory,
        env={**os.environ, "CORP": own.corp.token(), "PARTNER": own.partner.token(), "KEY": API_KEY},
        capture_output=True,
        text=True,
        check=False,
    )

    assert [line for line in shown.splitlines() if not line.startswith("$ ")] == done.stdout.split(), (
        done.stderr
    )


@pytest.mark.parametrize(
    ("method", "claims", "code", "reason_code"),
    [
        pytest.param("Count", {}, grpc.StatusCode.OK, "rule_allow", id="allowed"),
        pytest.param("Empty", {}, grpc.StatusCode.PERMISSION_DENIED, "no_matching_rule", id="denied"),
        pytest.param(
            "Count",
            {"seconds": -60},
            grpc.StatusCode.UNAUTHENTICATED,
            "invalid_credential",
            id="expired token",
        ),
    ],
)
def test_a_grpc_call_is_answered_in_grpcs_words(
    own: OwnServices, method: str, claims: dict[str, float], code: grpc.StatusCode, reason_code: str
) -> None:
    metadata = [("authorization", f"Bearer {own.corp.token(**claims)}"), ("x-subject", "root")]
    with grpc.insecure_channel(own.listeners[1].partition("//")[2]) as channel:
        call = channel.unary_unary(f"/stock.v1.Stock/{method}")
        answer, ended = outcome_of(call, metadata)
    request_id = dict(ended.initial_metadata() or ended.trailing_metadata())["x-request-id"]
    row = own.stack.row(str(request_id))

    assert ended.code() is code
    assert (row["service"], row["action"], row["reason_code"]) == ("stock", "POST", reason_code)
    assert row["resource"] == f"/stock.v1.Stock/{method}"
    if code is grpc.StatusCode.OK:
        assert json.loads(answer)["x-subject"] == "corp:alice"


def outcome_of(call: Any, metadata: Sequence[tuple[str, str]]) -> tuple[bytes, Any]:
    """A unary call's answer, and how it ended; an error is an end like any other."""
    try:
        answer, ended = call.with_call(b"", metadata=metadata, timeout=30)
    except grpc.RpcError as error:
        return b"", error
    return answer, ended


def test_http_2_is_spoken_where_the_client_does(own: OwnServices) -> None:
    context = own.context()
    context.set_alpn_protocols(["h2", "http/1.1"])
    host, _, port = own.listeners[0].partition("//")[2].rpartition(":")
    with (
        socket.create_connection((host, int(port)), timeout=30) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as connection,
    ):
        assert connection.selected_alpn_protocol() == "h2"


def test_the_gate_does_not_say_what_it_is(own: OwnServices) -> None:
    answer = own.ask("/nowhere")

    assert answer.status == 404
    assert "server" not in answer.headers


@pytest.mark.parametrize(
    ("path", "status"), [("/quitquitquit", 403), ("/runtime_modify?x=y", 403), ("/ready", 200)]
)
def test_the_admin_interface_does_what_the_stack_needs_and_no_more(
    own: OwnServices, path: str, status: int
) -> None:
    socket_path = own.stack.ready["envoy_admin"].removeprefix("unix:")
    with httpx.Client(transport=httpx.HTTPTransport(uds=socket_path), base_url="http://envoy") as client:
        found = client.post(path).status_code if status == 403 else client.get(path).status_code

    assert found == status


def test_the_services_of_the_example_are_in_ready_json(own: OwnServices) -> None:
    assert [url.partition(":")[0] for url in own.listeners] == ["https", "http"]
    assert own.stack.ready["proxy"] == own.listeners[0]
    assert json.loads((own.stack.home / "run" / "envoy.json").read_text())["admin"]["allow_paths"]
