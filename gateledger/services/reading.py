"""services.yaml from its file: each complaint with the line, what is wrong there, why, and what to do."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any, NoReturn

import yaml
from pydantic import BaseModel, ValidationError

from gateledger.services.files import problems
from gateledger.services.model import Services
from service.settings import Section

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

Keys = tuple[str | int, ...]

DOCS = "docs/services.md"


class ServicesError(Exception):
    """A services.yaml that cannot be used; the message says where, what, why and what to do."""


def load(path: Path) -> Services:
    """The description in a file; its paths are relative to the file's directory. Raises ServicesError."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ServicesError(
            f"{path}: cannot be read: {error}; name a description of your services"
        ) from error
    services = parse(text, str(path), path.absolute().parent)
    lines = _lines(text, str(path))
    found = [f"{path}:{_line(at, lines)}: {_dotted(at)}: {why}" for at, why in problems(services)]
    if found:
        raise ServicesError("\n".join(found))
    return services


def parse(text: str, name: str, base: Path | None = None) -> Services:
    """The description in a text. `name` says in errors whose it is. Raises ServicesError."""
    lines = _lines(text, name)
    content = yaml.safe_load(text)
    if not isinstance(content, dict):
        _refuse(name, 1, f"must map names to values, but holds a {type(content).__name__}; see {DOCS}")
    try:
        return Services.model_validate(content, context={"base": base})
    except ValidationError as error:
        said = [_said(detail, lines, name) for detail in _telling(error.errors())]
        raise ServicesError("\n".join(dict.fromkeys(said))) from error


def _lines(text: str, name: str) -> dict[Keys, int]:
    """The line of each key and item. Raises ServicesError for what is no YAML, or has a key twice."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or str(error)
        _refuse(name, mark.line + 1 if mark else 1, f"is not YAML: {problem}")
    return dict(_marks(node, (), name)) if node else {}


def _marks(node: yaml.Node, at: Keys, name: str) -> Iterator[tuple[Keys, int]]:
    yield at, node.start_mark.line + 1
    if isinstance(node, yaml.SequenceNode):
        for place, item in enumerate(node.value):
            yield from _marks(item, (*at, place), name)
    elif isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            line = key.start_mark.line + 1
            if key.value in seen:
                _refuse(name, line, f"{_dotted((*at, key.value))}: is there twice, and only one would count")
            seen.add(key.value)
            # The key's line, not the value's: that is where one looks for it.
            yield from (
                (keys, line if keys == (*at, key.value) else n)
                for keys, n in _marks(value, (*at, key.value), name)
            )


def _telling(details: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Without "too short" for a list whose items are complained of one by one."""
    for detail in details:
        at = detail["loc"]
        inside = any(other["loc"][: len(at)] == at and other is not detail for other in details)
        if not (detail["type"] == "too_short" and inside):
            yield detail


def _said(detail: Mapping[str, Any], lines: Mapping[Keys, int], name: str) -> str:
    at: Keys = tuple(detail["loc"])
    where = f"{name}:{_line(at, lines)}: {_dotted(at) or 'the whole'}"
    if detail["type"] == "extra_forbidden":
        return f"{where}: there is no such key here; {_instead(at)}"
    if detail["type"] == "missing":
        return f"{where}: is missing, and has no default; {DOCS} says what it is for"
    if detail["type"] == "too_short":
        return f"{where}: must have at least one; {DOCS} has examples"
    message = str(detail["msg"]).removeprefix("Value error, ")
    # An object is told by its place; a plain value is worth repeating, unless it could be a secret.
    value = detail["input"]
    plain = isinstance(value, str | int | float) and "sha256" not in at
    return f"{where}: {message}" + (f"; it is {value!r}" if plain else "")


def _line(at: Keys, lines: Mapping[Keys, int]) -> int:
    """The line of a place, or of the nearest one around it."""
    while at and at not in lines:
        at = at[:-1]
    return lines.get(at, 1)


def _instead(at: Keys) -> str:
    """What may stand where an unknown key stands."""
    known = sorted(_keys_at(at[:-1]))
    near = difflib.get_close_matches(str(at[-1]), known, n=1)
    return f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"


def _keys_at(at: Sequence[str | int]) -> set[str]:
    models: set[type[BaseModel]] = {Services}
    for key in at:
        if isinstance(key, str):
            models = {
                inner
                for model in models
                if key in model.model_fields
                for inner in _inner(model.model_fields[key].annotation)
            }
    return {name for model in models for name in model.model_fields}


def _inner(annotation: object) -> Iterator[type[BaseModel]]:
    """The sections that an annotation speaks of, through tuples and options."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        yield annotation
    for one in getattr(annotation, "__args__", ()):
        yield from _inner(one)


def _dotted(at: Keys) -> str:
    text = ""
    for key in at:
        text += f"[{key}]" if isinstance(key, int) else f".{key}" if text else str(key)
    return text


def _refuse(name: str, line: int, why: str) -> NoReturn:
    raise ServicesError(f"{name}:{line}: {why}")
