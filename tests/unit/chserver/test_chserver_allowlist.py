"""The allow-list on trees as parseQueryToJSON writes them; what the engine really writes: test_chserver_reader.py."""

from __future__ import annotations

import json
from typing import Any

import pytest

from chserver.allowlist import Rules, no_functions, plain_names
from chserver.errors import ClickHouseError
from chserver.reader_rules import BOUNDED, FUNCTIONS, SETTINGS, function_allowed

RULES = Rules(dict.fromkeys(BOUNDED, 10.0))


def function(name: str, *arguments: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "Function",
        "name": name,
        "arguments": {"type": "ExpressionList", "children": list(arguments)},
    }


def identifier(*parts: str, kind: str = "Identifier") -> dict[str, Any]:
    return {"type": kind, "name": ".".join(parts), **({"name_parts": list(parts)} if len(parts) > 1 else {})}


def literal(value: object) -> dict[str, Any]:
    return {"type": "Literal", "value": {"field_type": "String", "value": value}}


def select(*expressions: dict[str, Any], **keys: object) -> dict[str, Any]:
    one = {"type": "SelectQuery", "select": {"type": "ExpressionList", "children": list(expressions)}, **keys}
    return {
        "type": "SelectWithUnionQuery",
        "union_mode": "UNION_DEFAULT",
        "list_of_selects": {"type": "ExpressionList", "children": [one]},
        "is_outfile_append": False,
    }


def source(**keys: object) -> dict[str, Any]:
    element = {"type": "TablesInSelectQueryElement", "table_expression": {"type": "TableExpression", **keys}}
    return {"type": "TablesInSelectQuery", "children": [element]}


def table(*parts: str) -> dict[str, Any]:
    return source(database_and_table_name=identifier(*parts, kind="TableIdentifier"))


def settings(**changes: object) -> dict[str, Any]:
    return {
        "type": "SetQuery",
        "changes": [
            {"name": name, "value": {"field_type": "x", "value": value}} for name, value in changes.items()
        ],
    }


X = identifier("x")


def subquery(query: dict[str, Any]) -> dict[str, Any]:
    return {"type": "Subquery", "children": [query]}


def given(name: str, query: dict[str, Any] | None = None) -> dict[str, Any]:
    """`name AS (query)` in WITH."""
    return {"type": "WithElement", "name": name, "subquery": subquery(query or select(literal(1)))}


def with_(*elements: dict[str, Any], of: dict[str, Any], recursive: bool = False) -> dict[str, Any]:
    """`WITH elements SELECT …`"""
    first, *others = of["list_of_selects"]["children"]
    first = {
        **first,
        "with": {"type": "ExpressionList", "children": list(elements)},
        **({"recursive_with": True} if recursive else {}),
    }
    return {**of, "list_of_selects": {"type": "ExpressionList", "children": [first, *others]}}


def union(*queries: dict[str, Any]) -> dict[str, Any]:
    selects = [select for query in queries for select in query["list_of_selects"]["children"]]
    return {**queries[0], "list_of_selects": {"type": "ExpressionList", "children": selects}}


def from_(*names: str) -> dict[str, Any]:
    return select(X, tables=table(*names))


def within(query: dict[str, Any]) -> dict[str, Any]:
    """`SELECT x FROM (query)`"""
    return select(X, tables=source(subquery=subquery(query)))


VIEW = source(table_function=function("view", from_("a")))


@pytest.mark.parametrize(
    "tree",
    [
        pytest.param(select(literal("file('/etc/passwd')")), id="text that looks like a call"),
        pytest.param(select(X, tables=table("audit", "access_log")), id="a table of audit"),
        pytest.param(select(X, tables=table("system", "one")), id="a listed table of system"),
        pytest.param(with_(given("a"), of=from_("a")), id="with"),
        pytest.param(with_(given("a"), given("b", from_("a")), of=from_("b")), id="with, of one before"),
        pytest.param(with_(given("a"), of=within(from_("a"))), id="with, in a subquery"),
        pytest.param(with_(given("a"), of=union(from_("a"), from_("a"))), id="with, in a union's others"),
        pytest.param(with_(given("a"), of=select(function("in", X, identifier("a")))), id="with, behind in"),
        pytest.param(
            with_(given("a", union(select(X), from_("a"))), of=from_("a"), recursive=True),
            id="with recursive",
        ),
        pytest.param(
            union(with_(given("a"), of=from_("a")), with_(given("a"), of=from_("a"))),
            id="with, the same name side by side",
        ),
        pytest.param(select(function("arrayReduce", literal("quantile(0.5)"), X)), id="a function by text"),
        pytest.param(select(function("SUM", X)), id="a function in any case"),
        pytest.param(select(function("quantileTDigestOrNullIf", X)), id="combinators"),
        pytest.param(select(X, tables=source(table_function=function("numbers", literal(1)))), id="numbers"),
        pytest.param(select(X, settings=settings(max_threads=10, max_execution_time=0.5)), id="lower bounds"),
        pytest.param(select(function("in", X, identifier("audit", "t"))), id="in a table of audit"),
    ],
)
def test_what_readers_need_passes(tree: dict[str, Any]) -> None:
    RULES.check(tree, "")


@pytest.mark.parametrize(
    "tree",
    [
        pytest.param({"type": "DropQuery"}, id="another statement"),
        pytest.param({}, id="no type"),
        pytest.param({"type": ["SelectWithUnionQuery"]}, id="a type that is no name"),
        pytest.param(select({"type": "BrandNewNode"}), id="an unknown node"),
        pytest.param(select({**X, "brand_new_key": 1}), id="an unknown key"),
        pytest.param(select({"no": "type"}), id="a part without a type"),
        pytest.param({**select(X), "out_file": literal("/tmp/x")}, id="into outfile"),
        pytest.param(select({**X, "children": [{"type": "QueryParameter"}]}), id="a parameter as a name"),
        pytest.param(
            select({"type": "QueryParameter", "name": "a", "param_type": " identifier"}), id="an identifier"
        ),
        pytest.param(select(function("file", literal("x"))), id="a function"),
        pytest.param(select(function("fileIf", literal("x"))), id="combinators do not launder"),
        pytest.param(select(function("numbers", literal(1))), id="a table function as a function"),
        pytest.param(
            select(X, tables=source(table_function=function("file", literal("x")))), id="a table function"
        ),
        pytest.param(
            select(X, tables=source(table_function=function("numbers", function("file", literal("x"))))),
            id="a function in a table function",
        ),
        pytest.param(
            select(X, tables=source(table_function=function("sum", X))), id="a function as a table function"
        ),
        pytest.param(select(X, tables=table("t")), id="a table without database"),
        pytest.param(select(X, tables=table("default", "t")), id="another database"),
        pytest.param(select(X, tables=table("AUDIT", "t")), id="another case"),
        pytest.param(select(X, tables=table("system", "processes")), id="a table of system"),
        pytest.param(select(X, tables=table("a", "b", "c")), id="three parts"),
        pytest.param(select(X, tables=table("audit", "")), id="no name"),
        pytest.param(
            select(
                X,
                tables={
                    "type": "TablesInSelectQuery",
                    "children": [
                        *within(with_(given("a"), of=select(X)))["list_of_selects"]["children"][0]["tables"][
                            "children"
                        ],
                        *table("a")["children"],
                    ],
                },
            ),
            id="with, beside it",
        ),
        pytest.param(union(from_("a"), with_(given("a"), of=from_("a"))), id="with, before it in a union"),
        pytest.param(with_(given("a", from_("a")), of=from_("a")), id="with, of itself"),
        pytest.param(
            with_(given("a", union(select(X), from_("a"))), of=from_("a")), id="with, of itself in a union"
        ),
        pytest.param(
            with_(given("a", from_("a")), of=from_("a"), recursive=True), id="with recursive, without a union"
        ),
        pytest.param(
            with_(given("a", union(from_("a"), select(X))), of=from_("a"), recursive=True),
            id="with recursive, of itself at the start",
        ),
        pytest.param(with_(given("a", from_("b")), given("b"), of=from_("a")), id="with, of one behind"),
        pytest.param(with_(given("a"), given("a"), of=from_("a")), id="with, a name twice"),
        pytest.param(
            with_(given("a"), of=within(with_(given("a", from_("a")), of=from_("a")))),
            id="with, a name again below",
        ),
        pytest.param(
            union(with_(given("a"), of=from_("a")), with_(given("a", from_("a")), of=from_("a"))),
            id="with, of itself beside another",
        ),
        pytest.param(with_(given("a"), of=select(X, tables=VIEW)), id="with, not in view()"),
        pytest.param(with_(given("/etc/passwd"), of=select(X)), id="with, a path as a name"),
        pytest.param(with_(given("a\n"), of=select(X)), id="with, a line's end in a name"),
        pytest.param(
            select(function("arrayReduce", literal("kolmogorovSmirnovTest"), X)), id="a function by text"
        ),
        pytest.param(
            select(function("arrayReduce", function("concat", literal("s"), literal("um")), X)),
            id="a function by text that is put together",
        ),
        pytest.param(select(function("initializeAggregation", literal("flameGraph "), X)), id="with a blank"),
        pytest.param(select(function("editDistance", X, X)), id="a function that no limit stops"),
        pytest.param(select(function("in", X, identifier("system", "processes"))), id="in a table"),
        pytest.param(
            select(function("globalNotNullIn", X, identifier("default", "t"))), id="global not in a table"
        ),
        pytest.param(select(identifier("system", "processes")), id="a table's name as a column"),
        pytest.param(select({"type": "ColumnsApplyTransformer", "func_name": "file"}), id="apply"),
        pytest.param(select(X, settings=settings(max_threads=11)), id="a raised bound"),
        pytest.param(select(X, settings=settings(max_threads=0)), id="no bound"),
        pytest.param(select(X, settings=settings(max_threads=-1)), id="a negative bound"),
        pytest.param(
            select(X, settings=settings(max_execution_time="0.0001")), id="a bound that rounds to none"
        ),
        pytest.param(select(X, settings=settings(max_execution_time="nan")), id="no number"),
        pytest.param(select(X, settings=settings(readonly=0)), id="a setting"),
        pytest.param(
            select(X, settings={**settings(), "query_parameters": [{"name": "a"}]}), id="a set parameter"
        ),
        pytest.param({**select(X), "format_ast": identifier("Template")}, id="a format"),
        pytest.param(
            {"type": "ExplainQuery", "kind": "EXPLAIN AST", "query": {"type": "DropQuery"}}, id="explain drop"
        ),
        pytest.param({"type": "ExplainQuery", "kind": "EXPLAIN CURRENT TRANSACTION"}, id="explain nothing"),
        pytest.param(
            {"type": "ExplainQuery", "kind": "EXPLAIN", "query": select(X), "settings": settings(evil=1)},
            id="explain's settings",
        ),
        pytest.param({"type": "ShowTablesQuery", "from": identifier("default")}, id="show tables elsewhere"),
        pytest.param({"type": "ShowTablesQuery", "clusters": True}, id="show clusters"),
        pytest.param(
            {"type": "ShowColumnsQuery", "database": "default", "table": "t"}, id="show columns elsewhere"
        ),
    ],
)
def test_everything_else_is_refused(tree: dict[str, Any]) -> None:
    with pytest.raises(ClickHouseError) as caught:
        RULES.check(tree, "")

    assert 403 == caught.value.status


def test_a_table_without_database_is_one_of_the_current_database() -> None:
    RULES.check(select(X, tables=table("t")), "audit")

    with pytest.raises(ClickHouseError):
        RULES.check(select(X, tables=table("t")), "default")


def test_bare_names_may_not_be_those_of_refused_functions() -> None:
    tree = select(function("arrayMap", identifier("file"), X))

    assert {"file", "x"} == plain_names(tree)
    with pytest.raises(ClickHouseError, match="file"):
        no_functions(["file"])
    no_functions(["lower"])


@pytest.mark.parametrize("name", ["audit", "default", ""])
def test_a_reader_may_stand_in_these_databases(name: str) -> None:
    RULES.database(name)


@pytest.mark.parametrize("name", ["system", "information_schema", "Audit", "audit`"])
def test_a_reader_may_stand_in_no_other(name: str) -> None:
    with pytest.raises(ClickHouseError):
        RULES.database(name)


def test_no_setting_that_names_a_file_or_hides_an_expression_is_listed() -> None:
    assert not {
        name
        for name in SETTINGS
        if any(
            word in name for word in ("schema", "path", "filter", "dialect", "readonly", "url", "template")
        )
    }


@pytest.mark.parametrize(
    "name",
    [
        "file", "dictGet", "dictGetOrDefault", "joinGet", "catboostEvaluate", "evalMLMethod", "aiGenerate", "chdb",
        "sleep", "hasColumnInTable", "getMacro", "getServerSetting", "filesystemAvailable", "regionToName",
        "addressToLine", "showCertificate", "formatRow", "structureToProtobufSchema", "__getScalar", "if_", "",
    ],
)  # fmt: skip
def test_functions_that_reach_outside_are_not_listed(name: str) -> None:
    assert not function_allowed(name)


def test_the_list_of_functions_is_read() -> None:
    assert len(FUNCTIONS) > 1000
    assert not {name for name in FUNCTIONS if json.dumps(name) != f'"{name}"'}
