"""The Huffman code of HPACK (RFC 7541, 5.2 and appendix B), read four bits at a time."""

from __future__ import annotations

from itertools import pairwise

# Bits of each symbol's code; the 257th is EOS. The code is canonical: lengths say all.
LENGTHS = bytes.fromhex(
    "0d171c1c1c1c1c1c1c181e1c1c1e1c1c1c1c1c1c1c1c1e1c1c1c1c1c1c1c1c1c060a0a0c0d06080b0a0a080b08060606"
    "0505050606060606060607080f060c0a0d06070707070707070707070707070707070707070707070807080d130d0e06"
    "0f05060506050606060507070606060506070605050607070707070f0b0e0d1c14161414161616171617171717171817"
    "181816171817171717151617161717181615141616171715171616181516171715151615171617171416161617161617"
    "1a1a1413161716191a1a1a1b1b1a181913151a1b1b1a1b1815151a1a1c1b1b1b14181415161515171616191918181a17"
    "1a1b1a1a1b1b1b1b1b1c1b1b1b1b1b1a1e"
)
_EOS = 256
# Padding is at most seven bits, all ones (5.2).
_MAX_PADDING = 7


class HuffmanError(ValueError):
    """Bytes that are no Huffman-coded text."""


def codes() -> dict[int, tuple[int, int]]:
    """Each symbol's code and its length in bits."""
    order = sorted(range(len(LENGTHS)), key=lambda symbol: (LENGTHS[symbol], symbol))
    found = {order[0]: (0, LENGTHS[order[0]])}
    code = 0
    for before, symbol in pairwise(order):
        code = (code + 1) << LENGTHS[symbol] - LENGTHS[before]
        found[symbol] = (code, LENGTHS[symbol])
    return found


def _tree() -> tuple[list[list[int]], dict[int, bool]]:
    """Inner nodes with their two branches (a symbol s as ~s), and which of them may end a text."""
    nodes: list[list[int]] = [[0, 0]]
    may_end = {0: True}
    for symbol, (code, length) in codes().items():
        at = 0
        for bit in range(length - 1, 0, -1):
            branch = code >> bit & 1
            if not nodes[at][branch]:
                nodes.append([0, 0])
                nodes[at][branch] = len(nodes) - 1
                depth, ones = length - bit, code >> bit == (1 << length - bit) - 1
                may_end[len(nodes) - 1] = ones and depth <= _MAX_PADDING
            at = nodes[at][branch]
        nodes[at][code & 1] = ~symbol
    return nodes, may_end


def _steps() -> tuple[list[list[tuple[int, bytes]]], dict[int, bool]]:
    """For each inner node and four bits: the node that they lead to (-1: EOS), and the text on the way."""
    nodes, may_end = _tree()
    steps = []
    for start in range(len(nodes)):
        row = []
        for nibble in range(16):
            at, text = start, b""
            for bit in (3, 2, 1, 0):
                at = nodes[at][nibble >> bit & 1]
                if at < 0:
                    if ~at == _EOS:
                        at = -1
                        break
                    text += bytes((~at,))
                    at = 0
            row.append((at, text))
        steps.append(row)
    return steps, may_end


_STEPS, _MAY_END = _steps()


def decode(coded: bytes) -> bytes:
    """The text. Raises HuffmanError for EOS in it, and for padding that is too long or not of ones."""
    at = 0
    text = []
    for byte in coded:
        for nibble in (byte >> 4, byte & 15):
            at, part = _STEPS[at][nibble]
            if at < 0:
                raise HuffmanError("EOS inside a text")
            text.append(part)
    if not _MAY_END[at]:
        raise HuffmanError("padding that is no beginning of EOS")
    return b"".join(text)
