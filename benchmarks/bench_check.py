"""What one Check costs: `check(bytes)` in this process, and the same through gRPC over a unix socket.

Each figure is one line; every answer is asserted. The server's own CPU time is read from its process.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import grpc
import psutil
import structlog

from extauthz.check import Checker
from extauthz.decide import Rules, Snapshot
from extauthz.engine import Engine
from extauthz.identity_settings import IdentitySettings, Issuer
from protos.gen import ext_authz_pb2

ROOT = Path(__file__).parents[1]
MODEL, POLICY = ROOT / "policies" / "model.conf", ROOT / "policies" / "policy.csv"
ATTRIBUTES = ("subject", "service", "resource", "action")
CHECK = "/envoy.service.auth.v3.Authorization/Check"
IN_PROCESS = 5_000
THROUGH_GRPC = 3_000
IN_FLIGHT = 32


def request(subject: str, path: str) -> bytes:
    """A Check as Envoy sends it, with twelve headers."""
    message = ext_authz_pb2.CheckRequest()
    attributes = message.attributes
    http = attributes.request.http
    http.method, http.path, http.host, http.scheme = "GET", path, "orders.example", "https"
    for number in range(12):
        header = http.header_map.headers.add()
        header.key, header.raw_value = f"x-header-{number}", b"a value of some length"
    attributes.source.address.socket_address.address = "192.0.2.7"
    claims = {"sub": subject, "roles": [], "iss": "https://issuer.example", "exp": 1.9e9}
    attributes.metadata_context.filter_metadata["envoy.filters.http.jwt_authn"].update({"demo": claims})
    attributes.route_metadata_context.filter_metadata["gateledger"].update({"service": "orders"})
    return message.SerializeToString()


def allowed(answer: bytes) -> bool:
    return ext_authz_pb2.CheckResponse.FromString(answer).WhichOneof("http_response") == "ok_response"


CASES = {"allowed": (request("alice", "/orders/1?x=1"), True), "denied": (request("zoe", "/orders/1"), False)}


def in_process(name: str, message: bytes, *, right: bool) -> None:
    engine = Engine.from_files(MODEL, POLICY, ATTRIBUTES)
    checker = Checker(
        IdentitySettings(issuers=(Issuer(name="demo", roles=("*",)),)),
        Rules(ATTRIBUTES),
        lambda: Snapshot(engine),
        lambda *_: None,
        structlog.get_logger(),
    )
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(IN_PROCESS):
        assert allowed(checker.check(message)) is right
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    rules = len(engine.rules)
    print(
        f"check in process, {name}, {rules} rules: {wall / IN_PROCESS * 1e6:.0f} µs a Check, "
        f"{cpu / IN_PROCESS * 1e6:.0f} µs of CPU (reading the answer included)"
    )


def through_grpc(socket: str, server: psutil.Process, name: str, message: bytes, *, right: bool) -> None:
    with grpc.insecure_channel(f"unix:{socket}") as channel:
        call = channel.unary_unary(CHECK)
        assert allowed(call(message, timeout=30)) is right
        started, before = time.perf_counter(), server.cpu_times()
        for _ in range(THROUGH_GRPC // IN_FLIGHT):
            answers = [call.future(message, timeout=30) for _ in range(IN_FLIGHT)]
            for answer in answers:
                assert allowed(answer.result()) is right
        wall, after = time.perf_counter() - started, server.cpu_times()
    count = THROUGH_GRPC // IN_FLIGHT * IN_FLIGHT
    cpu = after.user + after.system - before.user - before.system
    print(
        f"check through grpcio, {name}, {IN_FLIGHT} in flight: {count / wall:.0f} Checks/s (Python client), "
        f"{cpu / count * 1e6:.0f} µs of the server's CPU a Check"
    )


def main() -> None:
    for name, (message, right) in CASES.items():
        in_process(name, message, right=right)
    with tempfile.TemporaryDirectory(prefix="gateledger-") as home:
        config = Path(home) / "gateledger.yaml"
        issuers = [{"name": "demo", "roles": ["*"]}]
        config.write_text(json.dumps({"extauthz": {"metrics": "127.0.0.1:0", "issuers": issuers}}))
        command = [sys.executable, "-m", "extauthz", "--config", str(config), "--home", home]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=ROOT) as process:
            try:
                assert process.stderr is not None
                assert any('"ready"' in line for line in process.stderr)
                for name, (message, right) in CASES.items():
                    socket = f"{home}/run/extauthz.sock"
                    through_grpc(socket, psutil.Process(process.pid), name, message, right=right)
            finally:
                process.terminate()


if __name__ == "__main__":
    main()
