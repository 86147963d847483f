"""The one path normaliser: what the policy sees is what the upstream will understand.

Invariants, each with a test of its name in tests/properties/test_path_properties.py:
- normalising twice changes nothing;
- an accepted path starts with "/", has no "." or ".." segment and no "//";
- an accepted path holds only RFC 3986 path characters and upper-case escapes of other characters;
- an RFC 3986 reader resolves the given path to the accepted one;
- whatever two parsers could read differently is refused, with BadPath and nothing else.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

MAX_BYTES = 8192

# RFC 3986 pchar without escapes and without ";": path parameters are read by some, ignored by others, and
# refused unless asked for.
_PCHAR = r"A-Za-z0-9\-._~!$&'()*+,=:@"
# Paths that are normal already: no escape, no empty segment, no dot segment. Nearly all are.
_CLEAN = re.compile(rf"(?:/(?!\.{{1,2}}(?:/|\Z))[{_PCHAR}]+)+/?|/", re.ASCII)
# Of them those without a segment that begins with a dot, where "//" is not in them either: found in half the time.
_TAME = re.compile(rf"/[/{_PCHAR}]*", re.ASCII)
_FOREIGN = re.compile(rf"[^/%{_PCHAR}]", re.ASCII)
_FOREIGN_BUT_PARAMETERS = re.compile(rf"[^/%;{_PCHAR}]", re.ASCII)
_PARAMETERS = re.compile(r";[^/]*")
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")
_ESCAPES = re.compile(r"(?:%[0-9A-F]{2})+")
_MALFORMED = re.compile(r"%(?![0-9A-Fa-f]{2})")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_~")
# Characters that may stand in a path as they are: a reader that decodes takes both forms for one.
_PLAIN_AND_ESCAPED = re.compile(r"%(?:2[146789ABC]|3[AD]|40)")
_REFUSED_ESCAPES = {
    0x2F: "an encoded slash",
    0x5C: "an encoded backslash",
    0x2E: "an encoded dot",
    0x25: "an encoded percent sign",
    0x3B: "an encoded semicolon",
    0x3F: "an encoded question mark",
    0x23: "an encoded number sign",
}
_DELIMITERS = frozenset("/\\.%;?#")


class BadPath(ValueError):  # noqa: N818 - the name that reason code and docs use
    """A path that two parsers could read differently. `cause` says which oddity, never the path itself."""

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


@dataclass(frozen=True, slots=True)
class Target:
    """A request target in origin form, split: the normalised path, and the query as it came (or None)."""

    path: str
    query: str | None = None


def split(target: str, *, parameters: bool = False) -> Target:
    """The normalised path and the untouched query of a request target. Raises BadPath."""
    raw, mark, query = target.partition("?")
    if "#" in target:
        raise BadPath("a fragment")
    if _CONTROL.search(query):
        raise BadPath("a control character in the query")
    return Target(normalise(raw, parameters=parameters), query if mark else None)


def plain_path(target: str) -> str | None:
    """The path of a target that `split` would leave as it is, found quickly; None for any other."""
    if _TAME.fullmatch(target) and "//" not in target and "/." not in target and len(target) <= MAX_BYTES:
        return target
    if "?" not in target:
        return target if len(target) <= MAX_BYTES and _CLEAN.fullmatch(target) else None
    raw, _, query = target.partition("?")
    if len(raw) > MAX_BYTES or not _CLEAN.fullmatch(raw) or "#" in query or _CONTROL.search(query):
        return None
    return raw


def normalise(raw: str, *, parameters: bool = False) -> str:
    """The normalised form of a path without query. Raises BadPath.

    With `parameters` a path may hold ";name=value" in its segments, which `readings` then takes off.
    """
    if len(raw) > MAX_BYTES:
        raise BadPath(f"longer than {MAX_BYTES} bytes")
    if _CLEAN.fullmatch(raw):
        return raw
    _refuse_foreign(raw, _FOREIGN_BUT_PARAMETERS if parameters else _FOREIGN)
    decoded = _ESCAPE.sub(_decode, raw)
    _refuse_odd_text(decoded)
    path = _resolve(decoded)
    if ";" in path:
        _refuse_hidden_segments(path)
    return path


def readings(path: str) -> tuple[str, ...]:
    """A normalised path, and the paths that other readers take it for; a decision has to hold for all.

    RFC 3986 keeps "%3A" and ":" apart, nearly every upstream does not. Some upstreams route by a path
    without its parameters, some with them.
    """
    if "%" not in path and ";" not in path:
        return (path,)
    decoded = _PLAIN_AND_ESCAPED.sub(lambda found: chr(int(found[0][1:], 16)), path)
    bare = [_PARAMETERS.sub("", reading) for reading in (path, decoded)]
    return tuple(dict.fromkeys((path, decoded, *bare)))


def _refuse_hidden_segments(path: str) -> None:
    """Refuse segments that are empty or dots once their parameters are off: "/..;x/", "/;x/"."""
    bare = _PARAMETERS.sub("", path).split("/")[1:]
    given = path.split("/")[1:]
    if any(";" in whole and left in {"", ".", ".."} for whole, left in zip(given, bare, strict=True)):
        raise BadPath("a path parameter on an empty or dot segment")


def _refuse_foreign(raw: str, foreign: re.Pattern[str]) -> None:
    if not raw.startswith("/"):
        raise BadPath("not starting with a slash")
    if "%u" in raw or "%U" in raw:
        raise BadPath("a %u escape")
    if _MALFORMED.search(raw):
        raise BadPath("a malformed percent-encoding")
    found = foreign.search(raw)
    if found:
        raise BadPath(_name(found[0]))


def _name(character: str) -> str:
    named = {"\\": "a backslash", ";": "a path parameter (semicolon)", "#": "a fragment", "?": "a query"}
    if character in named:
        return named[character]
    if _CONTROL.match(character):
        return "a control character"
    if not character.isascii():
        return "a character outside ASCII that is not percent-encoded"
    return f"the character {character!r}, which RFC 3986 does not allow in a path unencoded"


def _decode(escape: re.Match[str]) -> str:
    value = int(escape[1], 16)
    if value in _UNRESERVED:
        return chr(value)
    if value in _REFUSED_ESCAPES:
        raise BadPath(_REFUSED_ESCAPES[value])
    if value < 0x20 or value == 0x7F:
        raise BadPath("an encoded control character")
    return escape[0].upper()


def _refuse_odd_text(decoded: str) -> None:
    """Refuse escapes that are no UTF-8, or that some readers fold into a control or delimiter."""
    for run in _ESCAPES.findall(decoded):
        try:
            text = unquote_to_bytes(run).decode("utf-8")
        except UnicodeDecodeError:
            raise BadPath("a percent-encoding that is not UTF-8") from None
        if text.isascii():
            continue
        if any(unicodedata.category(character) in {"Cc", "Zl", "Zp"} for character in text):
            raise BadPath("an encoded control character")
        # Full-width full stops, slashes and their like become delimiters where a reader normalises to NFKC.
        if _DELIMITERS & set(unicodedata.normalize("NFKC", text)):
            raise BadPath("a character that looks like a delimiter")


def _resolve(path: str) -> str:
    """RFC 3986 5.2.4, and slashes merged. Refused where the order of the two would make a difference."""
    resolved = _merge_slashes(_remove_dots(path))
    if resolved != _remove_dots(_merge_slashes(path)):
        raise BadPath("an empty segment before a dot segment")
    return resolved


def _merge_slashes(path: str) -> str:
    return re.sub(r"/{2,}", "/", path)


def _remove_dots(path: str) -> str:
    kept: list[str] = []
    segments = path.split("/")[1:]
    for segment in segments:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in {".", ".."}:
        kept.append("")
    return "/" + "/".join(kept)
