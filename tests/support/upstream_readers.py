"""How real upstreams read a request target: each framework's own parsing and routing code, called in process.

A reading is the tuple of decoded segments that an application of that framework routes by.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from email.message import Message
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote_to_bytes

import httptools
from aiohttp.http_parser import HttpRequestParser
from aiohttp.web_protocol import RequestHandler
from starlette.routing import Match, Route
from tornado.httputil import HTTPHeaders, HTTPServerRequest, RequestStartLine
from tornado.routing import PathMatches
from werkzeug.routing import Map, Rule
from werkzeug.serving import WSGIRequestHandler

Reading = tuple[str, ...]


def segments(path: str) -> Reading:
    return tuple(path.split("/")[1:])


def rfc_3986(target: str) -> Reading:
    """Segments first, escapes then: the order that RFC 3986 asks for."""
    path = target.partition("?")[0]
    return tuple(unquote_to_bytes(segment).decode("utf-8", "replace") for segment in segments(path))


def asgi(target: str) -> Reading:
    """Uvicorn's reading, as every ASGI framework gets it."""
    raw = httptools.parse_url(target.encode("latin-1")).path
    return segments(unquote_to_bytes(raw).decode("utf-8", "replace"))


def wsgi(target: str) -> Reading:
    """Werkzeug's server, as Flask gets it: PATH_INFO."""
    handler: Any = WSGIRequestHandler.__new__(WSGIRequestHandler)
    server = {
        "multithread": False,
        "multiprocess": False,
        "ssl_context": None,
        "server_address": ("127.0.0.1", 80),
    }
    handler.server = SimpleNamespace(**server)
    handler.path, handler.command, handler.request_version = target, "GET", "HTTP/1.1"
    handler.client_address, handler.headers, handler.rfile = ("127.0.0.1", 1), Message(), None
    handler.connection = None
    environ = handler.make_environ()
    return segments(environ["PATH_INFO"].encode("latin-1").decode("utf-8", "replace"))


def aiohttp(target: str) -> Reading:
    """Aiohttp's own parser and URL type."""
    protocol: Any = SimpleNamespace(spec=RequestHandler)
    parser = HttpRequestParser(protocol, SimpleNamespace(), 2**16, max_line_size=2**16, max_field_size=2**16)
    messages, _, _ = parser.feed_data(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode("latin-1"))
    return segments(messages[0][0].url.path)


def tornado(target: str) -> Reading:
    """Tornado routes by the path as it came, and decodes what its patterns caught."""
    connection: Any = SimpleNamespace(context=None)
    request = HTTPServerRequest(
        start_line=RequestStartLine("GET", target, "HTTP/1.1"),
        headers=HTTPHeaders({"Host": "x"}),
        connection=connection,
    )
    path = request.path
    count = path.count("/")
    matcher = PathMatches("".join(["/([^/]*)"] * count) + "$")
    found = matcher.match(SimpleNamespace(path=path))  # type: ignore[arg-type]
    assert found is not None
    return tuple(part.decode("utf-8", "replace") for part in found["path_args"])


READERS: Mapping[str, Callable[[str], Reading]] = {
    "rfc_3986": rfc_3986,
    "asgi": asgi,
    "wsgi": wsgi,
    "aiohttp": aiohttp,
    "tornado": tornado,
}


def starlette_route(target: str, pattern: str) -> Mapping[str, Any] | None:
    """The path parameters of a starlette route that takes this target; None when it does not."""
    path = "/" + "/".join(asgi(target))
    route = Route(pattern, lambda _: None)  # type: ignore[arg-type, return-value]
    match, scope = route.matches({"type": "http", "method": "GET", "path": path, "root_path": ""})
    return scope["path_params"] if match is Match.FULL else None


def flask_route(target: str, pattern: str) -> Mapping[str, Any] | None:
    """The same for werkzeug, by which Flask routes."""
    from werkzeug.exceptions import HTTPException

    rules = Map([Rule(re.sub(r"\{(\w+)\}", r"<\1>", pattern), endpoint="x")], merge_slashes=False)
    path = "/" + "/".join(wsgi(target))
    try:
        return rules.bind("x").match(path)[1]
    except HTTPException:
        return None
