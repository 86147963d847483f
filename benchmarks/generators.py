"""Public load generators, where they are on PATH: h2load (nghttp2) and ghz, each asking one Check again and again."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from check_load import CHECK

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[1]
_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Load:
    """What a generator tells: Checks a second, and milliseconds within which so many were answered."""

    per_second: float
    p50: float
    p99: float


def available() -> dict[str, Callable[[str, Path, int, int], Load]]:
    """Those that this machine has, by name. Each is asked with an address, a message's file, a count, streams."""
    known = {"h2load": h2load, "ghz": ghz}
    return {name: ask for name, ask in known.items() if shutil.which(name)}


def h2load(address: str, message: Path, count: int, streams: int) -> Load:
    """One connection. Raises AssertionError where an answer was not HTTP's 200; it looks no further."""
    body, log = message.with_suffix(".grpc"), message.with_suffix(".log")
    text = message.read_bytes()
    body.write_bytes(b"\x00" + len(text).to_bytes(4) + text)
    log.unlink(missing_ok=True)
    to = [f"--base-uri={address}"] if address.startswith("unix:") else []
    host = "extauthz" if to else address
    command = ["h2load", "-n", str(count), "-c", "1", "-m", str(streams), "-d", str(body), *to]
    command += ["-H", "content-type: application/grpc", "-H", "te: trailers", f"--log-file={log}"]
    said = _said([*command, f"http://{host}{CHECK}"])
    rows = [line.split("\t") for line in log.read_text().splitlines()]
    took = sorted(int(row[2]) for row in rows)
    assert f"{count} succeeded" in said, said
    assert len(took) == count
    rate = said.split("finished in")[1].split(",")[1].split()[0]
    return Load(float(rate), took[count // 2] / 1e3, took[count * 99 // 100] / 1e3)


def ghz(address: str, message: Path, count: int, streams: int) -> Load:
    """One connection. Raises AssertionError where an answer's gRPC status was not OK."""
    command = ["ghz", "--insecure", "--connections", "1", "-c", str(streams), "-n", str(count), "-O", "json"]
    command += ["--proto", str(ROOT / "protos" / "ext_authz.proto"), "-B", str(message), "--call", CHECK[1:]]
    to = address.replace("unix:", "unix://") if address.startswith("unix:") else address
    said = json.loads(_said([*command, "-i", _imports(message.parent), to]))
    assert said["statusCodeDistribution"] == {"OK": count}, said["statusCodeDistribution"]
    within = {each["percentage"]: each["latency"] / 1e6 for each in said["latencyDistribution"]}
    return Load(said["rps"], within[50], within[99])


def _imports(home: Path) -> str:
    """Where protos are looked for: ours under the name that they have for one another, and google's."""
    import google.rpc  # noqa: PLC0415 - of ghz alone
    import grpc_tools  # noqa: PLC0415

    ours = home / "protos-of-ghz" / "protos"
    if not ours.exists():
        ours.mkdir(parents=True)
        (ours / "gen").symlink_to(ROOT / "protos")
    google = Path(next(iter(google.rpc.__path__))).parents[1]
    return ",".join(map(str, (ours.parent, google, Path(grpc_tools.__path__[0]) / "_proto")))


def _said(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
    assert done.returncode == 0, done.stderr or done.stdout
    return done.stdout
