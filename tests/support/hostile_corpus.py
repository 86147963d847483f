"""The corpus of hostile requests: tests/e2e/hostile/*.yaml as cases, and what each has to leave.

A case's text stands for bytes: each character is the byte of its code point. `{token}` is a token of alice
(customer); other tokens are named in `tests/support/hostile_tokens.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from http2_frames import END_HEADERS, END_STREAM, HEADERS, PREFACE, SETTINGS, block, frame

FOLDER = Path(__file__).parents[1] / "e2e" / "hostile"
HOST = "gate.example"
KEYS = {
    *(
        "id",
        "send",
        "method",
        "target",
        "host",
        "headers",
        "body",
        "token",
        "bearer",
        "expect",
        "status",
        "row",
    ),
    *("upstream", "fields", "frames", "trailers", "then", "interim", "closes"),
}

_SIZE = re.compile(r"\{(\d+)KB\}")


@dataclass(frozen=True)
class Outcome:
    """A row of audit.access_log, as far as an outcome names it, and the client's status."""

    status: int
    row: Mapping[str, object]


@dataclass(frozen=True)
class Case:
    """One connection: what goes out, what comes back, what stays."""

    name: str
    number: int
    http2: bool
    request: bytes
    statuses: tuple[int, ...]
    rows: tuple[Mapping[str, object], ...]
    # "METHOD TARGET" of each request that may reach the upstream.
    upstream: tuple[str, ...] = ()
    # Sent once the first answer is there, inside the tunnel that it opened.
    then: bytes = b""
    # The token's name, by whose subject the policy is asked again about what the upstream saw.
    token: str = "alice"

    @property
    def source(self) -> str:
        """A loopback address of its own: by it rows and upstream know the case, whatever it sends."""
        return f"127.77.{self.number // 250}.{self.number % 250 + 1}"


@dataclass
class Corpus:
    """All cases of all files. `tokens` gives the text of each token by name."""

    tokens: Mapping[str, str]
    outcomes: Mapping[str, Outcome] = field(init=False)

    def __post_init__(self) -> None:
        table = yaml.safe_load((FOLDER / "outcomes.yaml").read_text(encoding="utf-8"))
        self.outcomes = {name: Outcome(row.pop("status"), row) for name, row in table.items()}

    def cases(self) -> list[Case]:
        found: list[Case] = []
        for path in sorted(FOLDER.glob("*.yaml")):
            if path.name != "outcomes.yaml":
                found.extend(self._of(path, len(found)))
        return found

    def _of(self, path: Path, before: int) -> Iterator[Case]:
        for number, told in enumerate(yaml.safe_load(path.read_text(encoding="utf-8")), start=before):
            unknown = set(told) - KEYS
            assert not unknown, f"{path.name}: {told.get('id')}: {unknown}"
            yield self._case(f"{path.stem}: {told['id']}", number, told)

    def _case(self, name: str, number: int, told: Mapping[str, Any]) -> Case:
        expected = told["expect"] if isinstance(told["expect"], list) else [told["expect"]]
        outcomes = [self.outcomes[outcome] for outcome in expected]
        rows = [{**outcome.row} for outcome in outcomes if outcome.row.get("decision")]
        if rows:
            rows[0].update(told.get("row", {}))
        # Rows of requests that got no answer, and tunnels' second rows, have no status of their own.
        statuses = told.get("status", [outcome.status for outcome in outcomes if outcome.status])
        http2 = "fields" in told or "frames" in told
        allowed = any(row["decision"] == "allow" for row in rows)
        through = [self._first_line(told)] if allowed else []
        return Case(
            name=name,
            number=number,
            http2=http2,
            request=self._http2(told) if http2 else self._http1(told),
            statuses=tuple(statuses),
            rows=tuple(rows),
            upstream=tuple(told.get("upstream", through)),
            then=told.get("then", "").encode("latin-1"),
            token=told.get("token", "alice"),
        )

    def _first_line(self, told: Mapping[str, Any]) -> str:
        fields = dict(told.get("fields") or [])
        method = fields.get(":method", told.get("method", "GET"))
        target = fields.get(":path", told.get("target", "/orders/1"))
        return f"{method} {self._text(target).decode('latin-1')}"

    def _text(self, text: str) -> bytes:
        for name, token in self.tokens.items():
            text = text.replace("{" + name + "}", token)
        return _SIZE.sub(lambda found: "a" * 1000 * int(found[1]), text).encode("latin-1")

    def _bearer(self, told: Mapping[str, Any]) -> list[str]:
        if not told.get("bearer", True):
            return []
        return ["Bearer {" + told.get("token", "alice") + "}"]

    def _http1(self, told: Mapping[str, Any]) -> bytes:
        if "send" in told:
            return self._text(told["send"])
        hosts = told.get("host", HOST)
        hosts = [hosts] if isinstance(hosts, str) else hosts
        lines = [
            f"{told.get('method', 'GET')} {told.get('target', '/orders/1')} HTTP/1.1",
            *(f"Host: {host}" for host in hosts),
            *(f"Authorization: {value}" for value in self._bearer(told)),
            *told.get("headers", []),
        ]
        return self._text("".join(f"{line}\r\n" for line in lines) + "\r\n" + told.get("body", ""))

    def _http2(self, told: Mapping[str, Any]) -> bytes:
        opening = PREFACE + frame(SETTINGS, 0, 0)
        if "frames" in told:
            return opening + b"".join(self._frame(one, told) for one in told["frames"])
        flags = END_HEADERS | (0 if "body" in told or "trailers" in told else END_STREAM)
        sent = opening + frame(HEADERS, flags, 1, block(self._fields(told["fields"], told)))
        if "body" in told:
            sent += frame(0, 0 if "trailers" in told else END_STREAM, 1, self._text(told["body"]))
        if "trailers" in told:
            trailers = [(self._text(name), self._text(value)) for name, value in told["trailers"]]
            sent += frame(HEADERS, END_HEADERS | END_STREAM, 1, block(trailers))
        return sent

    def _frame(self, one: Mapping[str, Any], told: Mapping[str, Any]) -> bytes:
        payload = (
            block(self._fields(one["fields"], told))
            if "fields" in one
            else self._text(one.get("payload", ""))
        )
        cut = slice(*one.get("cut", [None]))
        return frame(one["kind"], one.get("flags", 0), one.get("stream", 1), payload[cut])

    def _fields(self, given: Sequence[Sequence[str]], told: Mapping[str, Any]) -> list[tuple[bytes, bytes]]:
        """The fields as given, behind those of a plain request that they do not name; "-NAME" leaves one out."""
        named = {name.removeprefix("-") for name, _ in given}
        plain = [(":method", "GET"), (":scheme", "http"), (":authority", HOST), (":path", "/orders/1")]
        bearer = [("authorization", value) for value in self._bearer(told)]
        pseudo = [pair for pair in plain if pair[0] not in named]
        own = [(name, value) for name, value in given if not name.startswith("-")]
        first = [pair for pair in own if pair[0].startswith(":")]
        rest = [pair for pair in own if not pair[0].startswith(":")]
        if told.get("bearer", True) == "first":
            pseudo, bearer = bearer, pseudo
        return [(self._text(name), self._text(value)) for name, value in [*pseudo, *first, *bearer, *rest]]
