"""A gRPC service over TCP lets in whoever has a certificate of the CA, and shows certificates that were replaced."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import grpc.aio
import pytest
from throwaway_ca import ThrowawayCa

from service.grpc_server import bind
from service.probes import AddressError
from service.server_tls import ServerTls


@pytest.fixture
def ca(tmp_path: Path) -> ThrowawayCa:
    made = ThrowawayCa(tmp_path)
    made.write("ca.pem")
    made.issue("server", "127.0.0.1")
    made.issue("client", common_name="envoy")
    return made


def tls(directory: Path) -> ServerTls:
    return ServerTls(
        certificate=directory / "server.pem", key=directory / "server-key.pem", client_ca=directory / "ca.pem"
    )


@contextlib.asynccontextmanager
async def serving(directory: Path) -> AsyncIterator[int]:
    server = grpc.aio.server()
    port = int(bind(server, "127.0.0.1:0", tls(directory)).rpartition(":")[2])
    await server.start()
    try:
        yield port
    finally:
        await server.stop(0)


async def serial(port: int, directory: Path) -> str:
    """Of the certificate that the server shows to a client that it lets in."""
    context = ssl.create_default_context(cafile=directory / "ca.pem")
    context.load_cert_chain(directory / "client.pem", directory / "client-key.pem")
    context.set_alpn_protocols(["h2"])
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    shown = writer.get_extra_info("peercert")
    writer.close()
    with contextlib.suppress(ssl.SSLError, ConnectionError):
        await writer.wait_closed()
    return str(shown["serialNumber"])


async def test_a_replaced_certificate_is_shown_to_the_next_client(ca: ThrowawayCa) -> None:
    async with serving(ca.directory) as port:
        first, again = await serial(port, ca.directory), await serial(port, ca.directory)
        ca.issue("server", "127.0.0.1")
        third = await serial(port, ca.directory)

    assert first == again
    assert third != first


async def test_a_certificate_that_is_gone_for_a_moment_goes_on_being_shown(ca: ThrowawayCa) -> None:
    async with serving(ca.directory) as port:
        first = await serial(port, ca.directory)
        (ca.directory / "server.pem").unlink()
        again = await serial(port, ca.directory)

    assert first == again


async def test_a_file_that_is_not_there_at_the_start_is_told(tmp_path: Path) -> None:
    with pytest.raises(AddressError, match=r"server\.pem: cannot be read: No such file.*see the setting tls"):
        bind(grpc.aio.server(), "127.0.0.1:0", tls(tmp_path))


async def test_a_unix_socket_needs_no_certificate(tmp_path: Path) -> None:
    server = grpc.aio.server()

    assert bind(server, f"unix:{tmp_path}/s.sock", tls(tmp_path)) == f"unix:{tmp_path}/s.sock"
    await server.stop(0)
