"""What a request value can be: the texts over which an answer is exact, and from which examples come.

- a resource is a path that the normaliser leaves as it is;
- a subject is a name that a credential can have, an action a method;
- a client address is an IP address, a scheme one of two words;
- anything else is a text without control characters, not empty.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import string
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from access import BadPath, normalise
from access.path import MAX_BYTES
from access.subject import ANONYMOUS_NAME, ROLE_PREFIX
from extauthz.analysis.alphabet import Alphabet
from extauthz.analysis.atom import Equal, Match
from extauthz.asked import METHOD
from extauthz.identity_name import MAX_SUBJECT_BYTES, subject_problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_PCHAR = "x" + string.ascii_lowercase.replace("x", "") + string.digits + string.ascii_uppercase
_PATH = Alphabet(_PCHAR + "-_~!$&'()*+,=:@" + "/.%", complete=True)
_METHODS = Alphabet("XABCDEFGHIJKLMNOPQRSTUVWYZ-", complete=True)
_HOSTS = Alphabet(string.ascii_lowercase + string.digits + "._~-[]:", complete=True)
# Beyond ASCII one of each kind that an expression can tell apart: a letter, a digit, a sign.
_TEXT = _PCHAR + string.punctuation + " " + "é٣€"
_LONGEST_TEXT = 8192

# States of a text that is being written: OPEN is the one in which most may follow.
OPEN = "open"
Steps = tuple[tuple[int, str], ...]


@dataclass(frozen=True)
class Domain:
    """The texts that one request value can be.

    `steps`: from a state, which characters lead to which state; `final`: in which states a text may end.
    From OPEN everything may follow that may follow from any other state. `reserved` texts are left out.
    """

    name: str
    alphabet: Alphabet
    steps: Callable[[str], Steps]
    final: Callable[[str], bool]
    holds: Callable[[str], bool]
    # The n-th example of a text that no rule may have thought of.
    sample: Callable[[int], str]
    longest: int
    # Examples that people know, tried first.
    preferred: tuple[str, ...] = ()
    reserved: tuple[Equal | Match, ...] = ()
    # All there is, where that is little; None where it is not.
    finite: tuple[str, ...] | None = None
    start: str = "start"


def domain_of(attribute: str, at: int, mentioned: Iterable[str] = ()) -> Domain:
    """The domain of a request attribute, "" for a value without meaning. `mentioned`: the policy's texts."""
    if attribute in _FIXED:
        return _FIXED[attribute]
    alphabet = Alphabet("".join(dict.fromkeys(_TEXT + "".join(sorted(_shown(mentioned))))))
    return (
        _subject(alphabet, at) if attribute == "subject" else _text(attribute or "text", alphabet, _is_text)
    )


def _text(name: str, alphabet: Alphabet, holds: Callable[[str], bool]) -> Domain:
    def steps(_state: str) -> Steps:
        return ((alphabet.all, OPEN),)

    return Domain(name, alphabet, steps, _is_open, holds, _counted("other"), _LONGEST_TEXT)


def _subject(alphabet: Alphabet, at: int) -> Domain:
    inner = alphabet.all & ~alphabet.one(" ")

    def steps(state: str) -> Steps:
        return ((inner, OPEN),) if state == "start" else ((inner, OPEN), (alphabet.one(" "), "space"))

    reserved = (
        Equal(at, "*"),
        Equal(at, ANONYMOUS_NAME),
        Match(at, "keyMatch", f"{ANONYMOUS_NAME}@*"),
        Match(at, "keyMatch", f"{ROLE_PREFIX}*"),
    )
    return Domain(
        "subject",
        alphabet,
        steps,
        _is_open,
        lambda name: not subject_problem(name),
        _counted("someone"),
        MAX_SUBJECT_BYTES,
        reserved=reserved,
    )


def _counted(stem: str) -> Callable[[int], str]:
    return lambda number: stem if number == 0 else f"{stem}{number + 1}"


def _letters(number: int) -> str:
    """XA, XB, …, XZ, XAA, …: methods that nobody has."""
    text = ""
    while number >= 0:
        text = string.ascii_uppercase[number % 26] + text
        number = number // 26 - 1
    return "X" + text


def _shown(mentioned: Iterable[str]) -> set[str]:
    return {character for text in mentioned for character in text if character.isprintable()}


def _is_open(state: str) -> bool:
    return state == OPEN


def _always(_value: str) -> bool:
    return True


def _is_text(value: str) -> bool:
    return bool(value) and value.isprintable()


def _is_host(value: str) -> bool:
    return bool(value) and not set(value) - set(_HOSTS.characters)


def _is_method(value: str) -> bool:
    return METHOD.fullmatch(value) is not None


def _method_steps(state: str) -> Steps:
    letters = _METHODS.all & ~_METHODS.one("-")
    return ((letters if state == "start" else _METHODS.all, OPEN),)


def _is_address(value: str) -> bool:
    try:
        return str(ipaddress.ip_address(value)) == value
    except ValueError:
        return False


def _is_path(value: str) -> bool:
    try:
        return normalise(value) == value
    except BadPath:
        return False


_SLASH, _DOT, _PERCENT = (_PATH.one(character) for character in "/.%")
_ORDINARY = _PATH.all & ~(_SLASH | _DOT | _PERCENT)
_HEX = {character: _PATH.one(character) for character in "0123456789ABCDEF"}
_PATH_FINAL = frozenset({"/", OPEN})
# How many bytes a UTF-8 character has, by its first one.
_LENGTHS = ((0x80, 1), (0xC2, 0), (0xE0, 2), (0xF0, 3), (0xF5, 4))


def _path_final(state: str) -> bool:
    return state in _PATH_FINAL


def _path_steps(state: str) -> Steps:
    """A path's next characters. States: after a slash, after "/." and "/..", inside an escape, OPEN."""
    if state == "start":
        return ((_SLASH, "/"),)
    if state.startswith("%"):
        return _escape_steps(state)
    if state == OPEN:
        return ((_ORDINARY | _DOT, OPEN), (_SLASH, "/"), (_PERCENT, "%"))
    dotted = {"/": "/.", "/.": "/..", "/..": OPEN}[state]
    return ((_ORDINARY, OPEN), (_DOT, dotted), (_PERCENT, "%"))


def _escape_steps(state: str) -> Steps:
    if len(state) % 3 == 0:
        return ((_PERCENT, state + "%"),)
    found = []
    for character, bit in _HEX.items():
        following = _after_escape(state + character)
        if following:
            found.append((bit, following))
    return tuple(found)


def _after_escape(escape: str) -> str:
    """The state behind a part of an escaped character; empty where no accepted path goes on so."""
    if len(escape) % 3:
        return escape
    encoded = unquote_to_bytes(escape)
    wanted = next((length for limit, length in _LENGTHS if encoded[0] < limit), 0)
    if len(encoded) < wanted:
        return escape
    return OPEN if wanted == len(encoded) and _is_path(f"/{escape}") else ""


_FIXED = {
    "resource": Domain("path", _PATH, _path_steps, _path_final, _is_path, _counted("/x"), MAX_BYTES),
    "action": Domain(
        "method",
        _METHODS,
        _method_steps,
        _is_open,
        _is_method,
        _letters,
        32,
        preferred=("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"),
    ),
    "scheme": dataclasses.replace(_text("scheme", _HOSTS, _always), finite=("https", "http")),
    "client_address": _text("client_address", _HOSTS, _is_address),
    "host": _text("host", _HOSTS, _is_host),
}
