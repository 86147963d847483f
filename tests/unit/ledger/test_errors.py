import pytest
from clickhouse_connect.driver.exceptions import DatabaseError

from ledger.errors import Kind, explained, kind_of


def error(code: int, text: str) -> DatabaseError:
    made = DatabaseError(f"Code: {code}. DB::Exception: {text}")
    made.code = code
    return made


@pytest.mark.parametrize(
    ("code", "text", "kind"),
    [
        pytest.param(252, "Too many parts (3001)", Kind.OVERLOAD, id="too many parts: wait"),
        pytest.param(
            252,
            "Too many partitions for single INSERT block (more than 1)",
            Kind.BATCH,
            id="too many partitions, by the same number: no use in waiting",
        ),
        pytest.param(241, "Memory limit exceeded", Kind.OVERLOAD, id="memory"),
        pytest.param(202, "Too many simultaneous queries", Kind.OVERLOAD, id="too many queries"),
        pytest.param(319, "Unknown status, client must retry", Kind.OUTAGE, id="stored or not: look"),
        pytest.param(242, "Table is in readonly mode", Kind.OUTAGE, id="read only"),
        pytest.param(243, "Cannot reserve space", Kind.OUTAGE, id="no space"),
        pytest.param(395, "throwIf", Kind.OUTAGE, id="a view that throws"),
        pytest.param(60, "Unknown table", Kind.SCHEMA, id="no table"),
        pytest.param(516, "Authentication failed", Kind.ACCESS, id="password"),
        pytest.param(444, "Protobuf", Kind.DATA, id="an entry's own fault"),
    ],
)
def test_an_error_is_told_by_its_code_and_where_that_is_not_enough_by_its_words(
    code: int, text: str, kind: Kind
) -> None:
    assert kind is kind_of(error(code, text))


def test_what_no_server_said_is_an_outage() -> None:
    assert Kind.OUTAGE is kind_of(ConnectionResetError())


def test_an_overload_says_what_becomes_of_the_records() -> None:
    assert "stays in the spool" in explained(error(252, "Too many parts"))
