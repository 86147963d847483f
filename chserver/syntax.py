"""The nodes of the engine's syntax tree that a reader's statement may have, and the keys that each may carry.

As parseQueryToJSON of the engine names them. A node or a key that is not here is refused, so that
syntax which a newer engine learns stays shut until somebody has looked at it. Keys that hold nodes
are walked; the others hold names, numbers and flags.
"""

from __future__ import annotations

_OUTPUT = {
    "format_ast", "is_into_outfile_with_stdout", "is_outfile_append", "is_outfile_truncate", "settings_ast", "type",
}  # fmt: skip


def _keys(names: str, *more: set[str]) -> frozenset[str]:
    return frozenset({"type", *names.split()}.union(*more))


NODES = {
    "ArrayJoin": _keys("expression_list kind"),
    "Asterisk": _keys("transformers"),
    "ColumnsApplyTransformer": _keys("func_name lambda lambda_arg parameters column_name_prefix"),
    "ColumnsExceptTransformer": _keys("children pattern is_strict"),
    "ColumnsListMatcher": _keys("column_list transformers alias"),
    "ColumnsRegexpMatcher": _keys("pattern transformers alias"),
    "ColumnsReplaceTransformer": _keys("children is_strict"),
    "ColumnsReplaceTransformerReplacement": _keys("children name"),
    "ColumnsTransformerList": _keys("children"),
    "ExplainQuery": _keys("kind query settings", _OUTPUT),
    "ExpressionList": _keys("children"),
    "Function": _keys(
        "name arguments parameters alias window_name window_definition is_compound_name is_lambda_function "
        "is_operator is_window_function kind nulls_action"
    ),
    "Identifier": _keys("name name_parts alias"),
    "InterpolateElement": _keys("column expr"),
    "Literal": _keys("value alias"),
    "OrderByElement": _keys(
        "direction nulls_direction nulls_direction_was_explicitly_specified expression collation with_fill "
        "fill_from fill_to fill_step fill_staleness"
    ),
    "QualifiedAsterisk": _keys("qualifier transformers"),
    "QualifiedColumnsListMatcher": _keys("qualifier column_list transformers alias"),
    "QualifiedColumnsRegexpMatcher": _keys("qualifier pattern transformers alias"),
    "QueryParameter": _keys("name param_type alias"),
    "SampleRatio": _keys("numerator denominator"),
    "SelectQuery": _keys(
        "distinct with recursive_with cte_aliases select tables prewhere where group_by group_by_all "
        "group_by_with_cube group_by_with_rollup group_by_with_totals group_by_with_grouping_sets having window "
        "qualify order_by order_by_all interpolate limit_by limit_by_all limit_by_length limit_by_offset "
        "limit_length limit_offset limit_with_ties settings"
    ),
    "SelectWithUnionQuery": _keys("list_of_selects list_of_modes union_mode", _OUTPUT),
    "SetQuery": _keys("changes"),
    "ShowColumnsQuery": _keys(
        "database table extended full like not_like case_insensitive_like where_expression limit_length",
        _OUTPUT,
    ),
    "ShowIndexesQuery": _keys("database table extended where_expression", _OUTPUT),
    "ShowTablesQuery": _keys(
        "databases from full like not_like case_insensitive_like where_expression limit_length settings changed",
        _OUTPUT,
    ),
    "Subquery": _keys("children alias"),
    "TableExpression": _keys(
        "database_and_table_name table_function subquery column_aliases final sample_size sample_offset"
    ),
    "TableIdentifier": _keys("name name_parts alias"),
    "TableJoin": _keys("kind locality strictness on_expression using_expression_list"),
    "TablesInSelectQuery": _keys("children"),
    "TablesInSelectQueryElement": _keys("table_join table_expression array_join"),
    "WindowDefinition": _keys(
        "partition_by order_by parent_window_name frame_type frame_is_default frame_begin_type frame_begin_offset "
        "frame_begin_preceding frame_end_type frame_end_offset frame_end_preceding"
    ),
    "WindowListElement": _keys("name definition"),
    "WithElement": _keys("name subquery aliases is_materialized"),
}

# What a whole statement of a reader may be. DESCRIBE and SHOW CREATE have no tree: see reading.py.
STATEMENTS = frozenset(
    {"ExplainQuery", "SelectWithUnionQuery", "ShowColumnsQuery", "ShowIndexesQuery", "ShowTablesQuery"}
)
EXPLAINS = frozenset(
    {
        "EXPLAIN", "EXPLAIN AST", "EXPLAIN ESTIMATE", "EXPLAIN PIPELINE", "EXPLAIN PLAN", "EXPLAIN QUERY TREE",
        "EXPLAIN SYNTAX",
    }
)  # fmt: skip
EXPLAIN_SETTINGS = frozenset(
    {
        "actions", "ast", "column_structure", "compact", "description", "distributed", "dump_ast", "dump_passes",
        "dump_tree", "graph", "header", "indexes", "json", "keep_logical_steps", "oneline", "optimize", "passes",
        "pretty", "projections", "query_tree_passes", "run_passes", "run_query_tree_passes", "sorting",
    }
)  # fmt: skip
