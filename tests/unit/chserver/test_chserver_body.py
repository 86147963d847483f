"""Bodies: statement and data."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import pytest

from chserver import body
from chserver.errors import ClickHouseError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


async def read(query: str, *parts: bytes, at: Path) -> tuple[str, bytes | None]:
    found = await body.read(query, pieces(*parts), at)
    if found.data is None:
        return found.statement, None
    with found.data as data:
        data.seek(0)
        return found.statement, data.read()


BINARY = b"\n \x00\xff'" * 100_000


@pytest.mark.parametrize(
    ("query", "parts", "expected"),
    [
        pytest.param("", (b"SELECT ", b"1"), ("SELECT 1", None), id="query in the body"),
        pytest.param("SELECT", (b"1",), ("SELECT\n1", None), id="in both"),
        pytest.param("SELECT 1", (), ("SELECT 1\n", None), id="in the url"),
        pytest.param(
            "INSERT INTO t FORMAT Native ",
            (BINARY,),
            ("INSERT INTO t FORMAT Native", BINARY),
            id="data in the body",
        ),
        pytest.param(
            "INSERT INTO t FORMAT Native", (), ("INSERT INTO t FORMAT Native", b""), id="an insert of nothing"
        ),
        pytest.param(
            "",
            (b"INSERT INTO t FOR", b"MAT Native\n" + BINARY, BINARY),
            ("INSERT INTO t FORMAT Native", BINARY * 2),
            id="both in the body",
        ),
        pytest.param(
            "", (b"INSERT INTO t VALUES (1)",), ("INSERT INTO t FORMAT Values", b"(1)"), id="values"
        ),
    ],
)
async def test_the_statement_is_told_from_its_data(
    tmp_path: Path, query: str, parts: tuple[bytes, ...], expected: tuple[str, bytes | None]
) -> None:
    assert expected == await read(query, *parts, at=tmp_path)


async def test_data_leave_no_name_on_disk(tmp_path: Path) -> None:
    found = await body.read("INSERT INTO t FORMAT Native", pieces(BINARY), tmp_path)

    assert [] == names_in(tmp_path)
    assert found.data is not None
    found.data.close()


async def test_a_statement_has_a_longest_length(tmp_path: Path) -> None:
    with pytest.raises(ClickHouseError, match="longer than"):
        await read("", b"SELECT '" + b"x" * body.STATEMENT_BYTES, b"'", at=tmp_path)


async def test_a_statement_is_text(tmp_path: Path) -> None:
    with pytest.raises(ClickHouseError, match="UTF-8"):
        await read("", b"SELECT '\xff'", at=tmp_path)


async def test_the_limit_counts_what_was_packed() -> None:
    packed = gzip.compress(bytes(1 << 20))

    with pytest.raises(ClickHouseError) as caught:
        [piece async for piece in body.decoded(pieces(packed), "gzip", 1 << 19)]

    assert 413 == caught.value.status
