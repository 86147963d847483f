from __future__ import annotations

import os
import re
import socket
import stat
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from protos.gen import als_pb2
from service.addresses import check_address, prepare_unix
from service.grpc_server import SERVER_OPTIONS, add_health, bind
from service.probes import AddressError

SERVICE = als_pb2.DESCRIPTOR.services_by_name["AccessLogService"].full_name


def socket_file(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(os.fspath(path))
    return listener


@pytest.mark.parametrize(
    ("address", "why"),
    [
        pytest.param("", "use unix:/PATH or HOST:PORT", id="empty"),
        pytest.param("127.0.0.1", "use unix:/PATH or HOST:PORT", id="no port"),
        pytest.param(":80", "use unix:/PATH or HOST:PORT", id="no host"),
        pytest.param("127.0.0.1:99999", "use unix:/PATH or HOST:PORT", id="no such port"),
        pytest.param("unix:run/x.sock", "the path is not absolute", id="relative path"),
        pytest.param("unix:/" + "x" * 107, "longer than 107 bytes", id="path too long"),
    ],
)
def test_an_address_that_cannot_be_is_refused_before_anything_is_touched(address: str, why: str) -> None:
    with pytest.raises(AddressError, match=f"cannot listen on .*{re.escape(why)}"):
        check_address(address)


def test_the_socket_of_a_dead_process_makes_way(tmp_path: Path) -> None:
    path = tmp_path / "x.sock"
    socket_file(path).close()
    prepare_unix(f"unix:{path}")

    assert not path.exists()


def test_the_socket_of_a_living_process_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "x.sock"
    with socket_file(path) as listener:
        listener.listen(1)
        with pytest.raises(AddressError, match="another process listens there; stop it"):
            prepare_unix(f"unix:{path}")

    assert path.exists()


def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "x.sock"
    path.write_text("precious")

    with pytest.raises(AddressError, match="the file is no socket"):
        prepare_unix(f"unix:{path}")
    assert path.read_text() == "precious"


async def test_a_bound_socket_belongs_to_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "run" / "x.sock"
    server = grpc.aio.server(options=SERVER_OPTIONS)
    bind(server, f"unix:{path}")

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    await server.stop(0)


async def test_a_tcp_port_is_not_shared_with_another_server() -> None:
    first, second = (grpc.aio.server(options=SERVER_OPTIONS) for _ in range(2))
    address = bind(first, "127.0.0.1:0")

    assert re.fullmatch(r"127\.0\.0\.1:[1-9]\d+", address)
    with pytest.raises(AddressError, match=f"cannot listen on {address}: .*is it taken"):
        bind(second, address)
    await first.stop(0)
    await second.stop(0)


async def test_health_is_not_serving_until_it_is_set_and_reflection_names_the_services(
    tmp_path: Path,
) -> None:
    server = grpc.aio.server(options=SERVER_OPTIONS)
    health = await add_health(server, (SERVICE,))
    address = bind(server, f"unix:{tmp_path}/x.sock")
    await server.start()
    seen = []
    async with grpc.aio.insecure_channel(address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        for serving in (None, True, False):
            if serving is not None:
                await health.set(serving=serving)
            for name in ("", SERVICE):
                answer = await stub.Check(health_pb2.HealthCheckRequest(service=name))
                seen.append(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))
        call = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(
            iter([reflection_pb2.ServerReflectionRequest(list_services="")])
        )
        listed = [one.name async for part in call for one in part.list_services_response.service]
    await server.stop(0)

    assert seen == ["NOT_SERVING"] * 2 + ["SERVING"] * 2 + ["NOT_SERVING"] * 2
    assert SERVICE in listed
