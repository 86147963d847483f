"""What texts may hold that the engine reads as SQL of their own."""

from __future__ import annotations

import pytest

from chserver import texts


@pytest.mark.parametrize(
    ("text", "name"),
    [
        pytest.param("sum", "sum", id="a name"),
        pytest.param(" quantile ( 0.5 ) ", "quantile", id="blanks"),
        pytest.param("quantiles(0.5, 1e-3)", "quantiles", id="numbers"),
        pytest.param("groupConcat(', ')", "groupConcat", id="a text"),
        pytest.param("sequenceMatch('(?1)(?2)')", "sequenceMatch", id="a text with brackets"),
        pytest.param("count()", "count", id="no parameters"),
        pytest.param("groupConcat(file('/etc/passwd'))", None, id="a call"),
        pytest.param("groupConcat(toString(1))", None, id="a call of something harmless"),
        pytest.param("groupArray((SELECT 1))", None, id="a subquery"),
        pytest.param("groupArray(1+1)", None, id="an expression"),
        pytest.param("groupArray(x)", None, id="a name as a parameter"),
        pytest.param("groupConcat('a\\' , file(1))", None, id="an escaped quote"),
        pytest.param("groupConcat('a', file('b'))", None, id="a call behind a text"),
        pytest.param("groupConcat('a'/**/)", None, id="a comment"),
        pytest.param("groupConcat('a')(file('b'))", None, id="a second pair of brackets"),
        pytest.param("`sum`", None, id="a quoted name"),
        pytest.param("", None, id="nothing"),
    ],
)
def test_a_functions_text_holds_its_name_and_plain_values(text: str, name: str | None) -> None:
    assert texts.aggregate(text) == name


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        pytest.param("a UInt8", True, id="a column"),
        pytest.param("a UInt8, b Array(Nullable(String)) ", True, id="columns"),
        pytest.param("e Enum8('a' = -1, 'b' = 2), t DateTime64(3, 'UTC')", True, id="types with texts"),
        pytest.param("just a text", True, id="a text that is a value"),
        pytest.param("a String ALIAS file('x')", False, id="alias"),
        pytest.param("a String alias(file('x'))", False, id="alias in brackets"),
        pytest.param("a DEFAULT file('x')", False, id="default"),
        pytest.param("a String MATERIALIZED x", False, id="materialized"),
        pytest.param("a String EPHEMERAL x", False, id="ephemeral"),
        pytest.param("a String TTL now()", False, id="ttl"),
        pytest.param("a String/**/ALIAS/**/x", False, id="comments"),
        pytest.param("a String\nALIAS x", False, id="a line's end"),
        pytest.param("`a` String", False, id="a quoted name"),
        pytest.param("a file('x')", False, id="a call in the place of a type"),
        pytest.param("a AggregateFunction(groupConcat(file('x')), String)", False, id="a function's state"),
        pytest.param("a Enum8('a\\'' = 1)", False, id="an escaped quote"),
        pytest.param("a (SELECT 1)", False, id="a subquery"),
    ],
)
def test_a_list_of_columns_holds_names_and_types(text: str, *, plain: bool) -> None:
    assert texts.plain_columns(text) is plain
