"""Rows stored a second: from sealed segments of the spool to rows that can be queried, batches booked.

The real writer (python -m ledger) against the real embedded ClickHouse (python -m chserver), entries
as Envoy sends them for an allowed request with decision metadata. Asserts that every entry is there.
"""

from __future__ import annotations

import json
import secrets
import sys
import tempfile
import time
import uuid
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))

from chserver_process import ChServerProcess
from ledger_process import LedgerProcess, fill, origin

from ledger.framing import framing
from protos.gen import accesslog_pb2 as accesslog
from protos.gen import als_pb2 as als

MESSAGE_ENTRIES = 100
SEGMENT_BYTES = 16 * 1024 * 1024


def entry(number: int) -> accesslog.HTTPAccessLogEntry:
    """An allowed request of one of 500 subjects to one of 10,000 resources."""
    subject, resource = f"user{number % 500}@example.com", f"/orders/{number * 7919 % 10_000}"
    made = accesslog.HTTPAccessLogEntry(protocol_version=2)
    common = made.common_properties
    common.start_time.seconds, common.start_time.nanos = int(time.time()), number % 10**9
    common.duration.nanos = 12_345_678 + number
    for address in (common.downstream_remote_address, common.downstream_direct_remote_address):
        address.socket_address.address, address.socket_address.port_value = f"10.0.{number % 200}.9", 40_000
    common.upstream_remote_address.socket_address.address = "10.1.0.3"
    common.upstream_cluster, common.route_name, common.access_log_type = "orders", "orders", 6
    common.stream_id = str(uuid.UUID(bytes=secrets.token_bytes(16)))
    said = common.metadata.filter_metadata["envoy.filters.http.ext_authz"]
    said.update(
        {
            "decision_id": str(uuid.UUID(bytes=secrets.token_bytes(16))),
            "effect": "allow",
            "reason_code": "rule_allow",
            "subject": subject,
            "roles": "role:customer",
            "auth_method": "jwt",
            "auth_issuer": "demo",
            "service": "orders",
            "action": "GET",
            "resource": resource,
            "rule": "p, role:customer, orders, /orders/*, GET, allow",
            "rule_line": "12",
            "policy_version": "3f" * 16,
            "config_version": "a1" * 8,
            "decide_us": "57",
        }
    )
    made.request.request_headers[":method"] = "GET"
    made.request.path, made.request.authority, made.request.scheme = resource, "shop.example", "https"
    made.request.request_id, made.request.user_agent = common.stream_id, "curl/8.11.0"
    made.response.response_code.value, made.response.response_body_bytes = 200, 512
    made.response.response_code_details = "via_upstream"
    return made


def payload(first: int) -> bytes:
    """One message of Envoy's: a hundred entries."""
    entries = [entry(number) for number in range(first, first + MESSAGE_ENTRIES)]
    message: bytes = als.StreamAccessLogsMessage.HTTPAccessLogEntries(log_entry=entries).SerializeToString()
    return message


def stored(
    server: ChServerProcess, home: Path, messages: list[tuple[str, bytes]], segment_bytes: int
) -> float:
    """Seconds from the writer's start of work until all is booked and the spool is empty."""
    ledger = LedgerProcess(home, server.url, server.password_file)
    entries = sum(len(framing(data).entries) for _, data in messages)
    client = server.writer_client()
    with ledger:
        # Its start, connection and migration are not what is measured.
        while ledger.status.get("clickhouse") != "up":
            time.sleep(0.01)
        before = client.command("SELECT count() FROM audit.access_log")
        staged = home / "staged"
        fill(staged, *((origin(node=node), data) for node, data in messages), segment_bytes=segment_bytes)
        ledger.spool.mkdir(parents=True)
        start = time.perf_counter()
        for segment in sorted(staged.glob("*.seg")):
            segment.rename(ledger.spool / segment.name)
        ledger.drained()
        seconds = time.perf_counter() - start
        ledger.stop()
    assert entries == client.command("SELECT count() FROM audit.access_log") - before
    assert json.loads((home / "run" / "ledger.json").read_text())["last_error"] is None
    return seconds


def main() -> None:
    messages = [payload(number * MESSAGE_ENTRIES) for number in range(200)]
    size = sum(map(len, messages)) / (len(messages) * MESSAGE_ENTRIES)
    with (
        tempfile.TemporaryDirectory(prefix="bench-ledger-") as name,
        ChServerProcess(Path(name) / "ch") as server,
    ):
        home = Path(name)
        large = [("node", data) for data in messages * 5]
        seconds = stored(server, home / "large", large, SEGMENT_BYTES)
        rows = len(large) * MESSAGE_ENTRIES
        print(f"ledger, segments of 16 MiB: {rows / seconds:.0f} rows/s ({rows} entries of {size:.0f} bytes)")
        several = [(f"node-{number % 20}", data) for number, data in enumerate(messages)]
        seconds = stored(server, home / "several", several, SEGMENT_BYTES // 8)
        rows = len(several) * MESSAGE_ENTRIES
        print(f"ledger, segments of 2 MiB from 20 nodes: {rows / seconds:.0f} rows/s")
        small = [("node", payload(number)) for number in range(20)]
        seconds = stored(server, home / "small", small, 1)
        print(f"ledger, one message a segment: {seconds / len(small) * 1e3:.0f} ms a segment")
        client = server.writer_client()
        size = client.command(
            "SELECT sum(bytes_on_disk) / sum(rows) FROM system.parts "
            "WHERE database = 'audit' AND table = 'access_log' AND active"
        )
        print(f"ledger, audit.access_log on disk: {float(size):.0f} bytes/row")


if __name__ == "__main__":
    main()
