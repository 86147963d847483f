from __future__ import annotations

import random
from typing import Any

import hpack as oracle
import pytest
from hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH
from hpack.table import HeaderTable

from extauthz.http2.hpack import STATIC, Decoder, HpackError, literal
from extauthz.http2.huffman import HuffmanError, codes, decode

MANY = 1 << 20


def test_the_static_table_and_the_huffman_code_are_those_of_the_rfc() -> None:
    assert HeaderTable.STATIC_TABLE == STATIC
    assert dict(enumerate(zip(REQUEST_CODES, REQUEST_CODES_LENGTH, strict=True))) == codes()


def test_blocks_of_another_encoder_are_read_as_they_were_meant() -> None:
    chance = random.Random(7)
    encoder, decoder = oracle.Encoder(), Decoder(MANY)
    names = [b"te", b":path", b"grpc-timeout", b"x-a", b"x-b", b"content-type"]
    for number in range(400):
        if number % 50 == 49:
            encoder.header_table_size = chance.choice([0, 64, 200, 4096])
        headers = [
            (chance.choice(names), chance.randbytes(chance.randrange(40)))
            for _ in range(chance.randrange(1, 8))
        ]

        assert headers == decoder.decode(encoder.encode(headers, huffman=chance.random() < 0.7))


def test_literals_of_ours_are_read_by_another_decoder() -> None:
    headers: list[Any] = [
        (b":status", b"200"),
        (b"content-type", b"x" * 300),
        (b"x-new", b""),
        (b"via", b"y" * 127),
    ]

    block = b"".join(literal(name, value) for name, value in headers)

    assert headers == [tuple(header) for header in oracle.Decoder().decode(block, raw=True)]


@pytest.mark.parametrize(
    "block",
    [
        pytest.param(b"\x80", id="index 0"),
        pytest.param(b"\xbe", id="an index beyond both tables"),
        pytest.param(b"\x7f\xff\xff\xff\xff\xff\x0f", id="an integer without an end that could be"),
        pytest.param(b"\xff", id="an integer cut off"),
        pytest.param(b"\x00\x05ab", id="a text cut off"),
        pytest.param(b"\x00\x01a", id="a value missing"),
        pytest.param(b"\x3f\xe2\x1f", id="a table larger than the limit"),
        pytest.param(b"\x82\x20", id="a table's size after a header"),
        pytest.param(b"\x00\x81\xff\x00", id="padding of eight bits"),
        pytest.param(b"\x00\x84\xff\xff\xff\xff\x00", id="EOS in a text"),
        pytest.param(b"\x00\x81\x1e\x00", id="padding of zeros"),
    ],
)
def test_a_block_that_cannot_be_read_is_an_error(block: bytes) -> None:
    with pytest.raises(HpackError):
        Decoder(MANY).decode(block)


def test_after_the_acknowledgement_no_larger_table_may_be_asked_for() -> None:
    decoder = Decoder(MANY)
    decoder.acknowledged(0)

    assert decoder.decode(b"\x20\x82") == [(b":method", b"GET")]
    with pytest.raises(HpackError):
        decoder.decode(b"\x21\x82")


def test_a_block_that_becomes_too_much_is_read_to_its_end_all_the_same() -> None:
    decoder = Decoder(200)

    assert decoder.decode(b"\x40\x01a\x01b" + b"\xbe" * 50) is None
    assert decoder.decode(b"\xbe") == [(b"a", b"b")]


@pytest.mark.parametrize("size", [0, 1, 7, 100])
def test_huffman_texts_are_those_of_the_other_coder(size: int) -> None:
    from hpack.huffman import HuffmanEncoder

    text = random.Random(size).randbytes(size)

    assert text == decode(HuffmanEncoder(REQUEST_CODES, REQUEST_CODES_LENGTH).encode(text))
    with pytest.raises(HuffmanError):
        decode(b"\xff" * 4)
