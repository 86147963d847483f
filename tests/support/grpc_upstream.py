"""A gRPC upstream on a unix socket that answers each unary call with the metadata that it got, as JSON."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc


class _Echo(grpc.GenericRpcHandler):
    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes]:
        got = {str(name): str(value) for name, value in handler_call_details.invocation_metadata}
        return grpc.unary_unary_rpc_method_handler(lambda _, __: json.dumps(got).encode())


@contextlib.contextmanager
def grpc_upstream(path: Path) -> Iterator[None]:
    """Serves at the socket until the block ends."""
    server = grpc.server(ThreadPoolExecutor(2), handlers=[_Echo()])
    server.add_insecure_port(f"unix:{path}")
    server.start()
    try:
        yield
    finally:
        server.stop(0).wait()
