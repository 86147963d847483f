"""extauthz as it runs: its own process, a real gRPC client, real files, real signals."""

from __future__ import annotations

import json
import signal
import stat
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from check_requests import NO_TOKEN, allows, check_request, metadata, parsed, token
from extauthz_process import CHECK, ROOT, Service, wait_for
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from policy_texts import SAMPLE

from spool import sealed_segments

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NAME = "envoy.service.auth.v3.Authorization"
ALLOW = "p, alice, orders, /orders/:id, GET, allow\n"
both_transports = pytest.mark.parametrize("transport", ["grpcio", "fast"])
of_grpcio = pytest.mark.parametrize("transport", ["grpcio"])
DENY = "p, alice, orders, /orders/:id, GET, deny\n"


def health(service: Service, name: str = NAME) -> str:
    with service.channel() as channel:
        call = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        status = call(health_pb2.HealthCheckRequest(service=name), timeout=10).status
        return str(health_pb2.HealthCheckResponse.ServingStatus.Name(status))


def reason(service: Service, message: bytes) -> str:
    return str(metadata(service.check(message))["reason_code"])


def policies_in_journal(service: Service) -> list[dict[str, Any]]:
    segments = sealed_segments(service.home / "spool" / "extauthz")
    return [json.loads(record.origin) for segment in segments for record in segment.records()]


@both_transports
def test_it_allows_denies_and_asks_for_credentials(service: Service) -> None:
    allowed = parsed(service.check(check_request()))

    assert allowed.status.code == 0
    assert reason(service, check_request("/orders/1/payment", tokens=token("bob"))) == "rule_deny"
    assert reason(service, check_request("/billing")) == "no_matching_rule"
    assert reason(service, check_request(tokens=NO_TOKEN)) == "unauthenticated"
    assert reason(service, check_request("/a;b")) == "bad_path"
    assert reason(service, b"\xff") == "bad_request"


@of_grpcio
def test_grpcio_describes_itself(service: Service) -> None:
    with service.channel() as channel:
        call = channel.stream_stream(
            "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
            request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
            response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
        )
        ask = [
            reflection_pb2.ServerReflectionRequest(list_services=""),
            reflection_pb2.ServerReflectionRequest(file_containing_symbol=NAME),
        ]
        listed, described = call(iter(ask), timeout=10)

    assert NAME in {found.name for found in listed.list_services_response.service}
    assert described.HasField("file_descriptor_response")


@both_transports
def test_health_metrics_and_probes_are_there(service: Service) -> None:
    service.check(check_request())
    version = metadata(service.check(check_request()))["policy_version"]
    code, text = service.get("/readyz")

    assert (health(service), health(service, "")) == ("SERVING", "SERVING")
    assert service.metric('gateledger_checks_total{effect="allow",reason_code="rule_allow"}') == 2
    assert service.metric("gateledger_check_duration_seconds_count") == 2
    assert service.metric(f'gateledger_policy_info{{version="{version}"}}') == 1
    assert service.metric('gateledger_policy_reloads_total{result="loaded"}') == 1
    assert (code, json.loads(text)["policy_version"], json.loads(text)["mode"]) == (200, version, "indexed")
    assert service.get("/healthz")[0] == 200


@both_transports
def test_its_sockets_and_directories_are_its_own(service: Service) -> None:
    assert stat.S_IMODE(service.socket.stat().st_mode) == 0o600
    assert stat.S_IMODE(service.socket.parent.stat().st_mode) == 0o700


def test_a_new_policy_decides_and_a_bad_one_does_not(service: Service) -> None:
    service.put(DENY)
    wait_for("the denial", lambda: not allows(service.check(check_request())))
    service.put("p, alice\n")
    wait_for("the refusal", lambda: service.metric('gateledger_policy_reloads_total{result="refused"}'))
    detail = json.loads(service.get("/readyz")[1])

    assert not allows(service.check(check_request()))
    assert "policy.csv:1: error[arity]: 1 field" in detail["refused"]["findings"][0]

    service.put(ALLOW)
    wait_for("the allowance", lambda: allows(service.check(check_request())))
    recorded = wait_for("three policies in the journal", lambda: len(policies_in_journal(service)) == 3)

    assert recorded
    assert json.loads(service.get("/readyz")[1])["refused"] is None


@both_transports
def test_answers_never_flip_while_policies_come_and_go(service: Service) -> None:
    """Alice is allowed by each of the policies, bob by none: whatever is being loaded."""
    policies = [ALLOW + f"p, carol, orders, /{number}, GET, allow\n" for number in range(5)]
    stop = threading.Event()
    wrong: list[dict[str, Any]] = []
    versions: set[str] = set()

    def ask() -> None:
        with service.channel() as channel:
            call = channel.unary_unary(CHECK)
            while not stop.is_set():
                alice = call(check_request(), timeout=10)
                bob = call(check_request(tokens=token("mallory")), timeout=10)
                versions.add(metadata(alice)["policy_version"])
                wrong.extend(
                    metadata(answer)
                    for answer, right in ((alice, True), (bob, False))
                    if allows(answer) != right
                )

    with ThreadPoolExecutor(2) as pool:
        asking = [pool.submit(ask) for _ in range(2)]
        for number, text in enumerate(policies):
            service.put(text)
            wait_for(
                "the swap",
                lambda: service.metric('gateledger_policy_reloads_total{result="loaded"}') == number + 2,  # noqa: B023
            )
        stop.set()
        for done in asking:
            done.result()

    assert not wrong
    assert len(versions) > 1


def test_without_a_policy_it_answers_and_takes_one_when_it_comes(
    make_service: Callable[..., Service],
) -> None:
    service = make_service()
    service.policy.unlink()
    service.start()

    code, text = service.get("/readyz")
    answer = service.check(check_request())

    # Envoy asks healthy servers only: were this one not, nobody would hear the reason.
    assert (health(service), health(service, "")) == ("SERVING", "SERVING")
    assert parsed(answer).error_response.status.code == 503
    assert metadata(answer)["reason_code"] == "policy_unavailable"
    assert service.metric('gateledger_checks_total{effect="deny",reason_code="policy_unavailable"}') == 1
    assert code == 503
    assert "policy.csv: error[unreadable]" in json.loads(text)["refused"]["findings"][0]

    service.put(ALLOW)
    wait_for("the policy", lambda: allows(service.check(check_request())))

    assert service.get("/readyz")[0] == 200


def test_a_policy_that_is_changed_in_place_decides_once_it_rests(
    make_service: Callable[..., Service], tmp_path: Path
) -> None:
    # In a folder where nothing else happens, and without regular looks: only the file's rest brings one.
    folder = tmp_path / "policies"
    folder.mkdir()
    model, policy = folder / "model.conf", folder / "policy.csv"
    model.write_bytes((SAMPLE / "model.conf").read_bytes())
    policy.write_text(ALLOW)
    service = make_service(
        model=str(model), policy=str(policy), settle_seconds=0.2, reload_seconds=3600
    ).start()
    policy.write_text(DENY)
    wait_for("the denial", lambda: not allows(service.check(check_request())))

    assert service.metric('gateledger_policy_reloads_total{result="loaded"}') == 2


def test_without_a_journal_no_policy_decides(make_service: Callable[..., Service]) -> None:
    holder = make_service("holder").start()
    second = make_service("second", journal=str(holder.home / "spool" / "extauthz")).start()

    assert reason(second, check_request()) == "audit_unavailable"
    assert health(second) == "SERVING"
    assert second.get("/readyz")[0] == 503
    assert "stop that process" in json.dumps(second.event("policy not swapped in, it cannot be recorded"))

    holder.stop()
    wait_for("the journal", lambda: allows(second.check(check_request())))


@both_transports
def test_a_check_past_its_deadline_is_not_worked_on(make_service: Callable[..., Service]) -> None:
    service = make_service(max_concurrent=1).start()
    with service.channel() as channel:
        calls = [channel.unary_unary(CHECK).future(check_request(), timeout=10) for _ in range(200)]
        reasons = {metadata(call.result())["reason_code"] for call in calls}

    assert reasons <= {"rule_allow", "overloaded"}


@both_transports
def test_it_listens_on_several_addresses(make_service: Callable[..., Service], tmp_path: Path) -> None:
    listen = [f"unix:{tmp_path}/a.sock", "127.0.0.1:0"]
    service = make_service(listen=listen).start()
    ready = service.event("ready")
    assert ready is not None

    for address in ready["listen"]:
        with grpc.insecure_channel(address) as channel:
            assert allows(channel.unary_unary(CHECK)(check_request(), timeout=10))


@both_transports
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_and_ends_well(service: Service, number: int) -> None:
    with service.channel() as channel:
        call = channel.unary_unary(CHECK)
        answers = [call.future(check_request(), timeout=10) for _ in range(50)]
        answers[0].result()
        code = service.stop(number)
        lost = [error for answer in answers if (error := answer.exception())]

    assert code == 0
    assert not lost
    assert service.event("stopped")
    assert not [entry for entry in service.log if entry["level"] in {"error", "critical"}]


@both_transports
def test_a_kill_leaves_nothing_that_stops_the_next_one(service: Service) -> None:
    service.stop(signal.SIGKILL)

    assert service.socket.exists()

    service.start()

    assert allows(service.check(check_request()))


@both_transports
def test_an_address_that_is_taken_is_exit_code_2(
    service: Service, make_service: Callable[..., Service]
) -> None:
    second = make_service("second", listen=[f"unix:{service.socket}"]).start(ready=False)

    assert second.process is not None
    assert second.process.wait(30) == 2
    assert "another process listens there" in (second.home / "log").read_text()
    assert allows(service.check(check_request()))


@pytest.mark.parametrize(
    ("settings", "code", "message"),
    [
        pytest.param({}, 0, "settings and policy are fine, version ", id="fine"),
        pytest.param({"policy": "bad.csv"}, 1, "bad.csv:1: error[arity]", id="errors in the policy"),
        pytest.param({"policy": "none.csv"}, 2, "none.csv: error[unreadable]", id="no policy"),
        pytest.param(
            {"request": ["subject", "resource"]}, 1, "error[request]", id="a model that does not fit"
        ),
        pytest.param({"reload_seconds": 0}, 2, "extauthz.reload_seconds", id="a bad setting"),
        pytest.param({"listen": ["nonsense"]}, 2, "cannot listen on 'nonsense'", id="a bad address"),
        pytest.param({"metrics": "foo"}, 2, "extauthz.metrics: ", id="a bad address of the metrics"),
        pytest.param({"metrics": "unix:/x"}, 2, "extauthz.metrics: ", id="metrics on a socket file"),
        pytest.param(
            {"issuers": [{"name": "a"}, {"name": "b"}]},
            2,
            "'a' and 'b' could each name the other's subjects",
            id="issuers that clash",
        ),
    ],
)
def test_check_tells_what_is_wrong(tmp_path: Path, settings: dict[str, Any], code: int, message: str) -> None:
    (tmp_path / "bad.csv").write_text("p, alice\n")
    if "policy" in settings:
        settings = {**settings, "policy": str(tmp_path / settings["policy"])}
    config = tmp_path / "gateledger.yaml"
    config.write_text(json.dumps({"extauthz": settings}))

    result = subprocess.run(
        [
            sys.executable,
            "-m",
            "extauthz",
            "--check",
            "--config",
            str(config),
            "--home",
            str(tmp_path / "home"),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert code == result.returncode
    assert message in result.stdout + result.stderr
    assert "Traceback" not in result.stderr
