"""What a reader may name: functions, tables, formats and settings. Everything else is refused.

The names are the engine's. A test holds these lists against system.functions and
system.table_functions, so that a new engine cannot widen them unnoticed.
"""

from __future__ import annotations

from importlib import resources

DATABASE = "audit"
# Where a client stands that names no database; nothing in it is open to readers.
NOWHERE = "default"

# Tables of the engine that clients read to find out what they talk to: its types, functions and names, the
# session's own settings, and what audit holds (the engine shows only what the role may see). Not among them:
# what shows other people's text (processes, query_log, query_cache, …), the machine (disks, events, metrics,
# server_settings, stack_trace, …), credentials and access (users, grants, named_collections, dictionaries, …).
SYSTEM_TABLES = frozenset(
    {
        "aggregate_function_combinators", "collations", "columns", "completions", "contributors",
        "data_skipping_indices", "data_type_families", "databases", "formats", "functions", "keywords", "numbers",
        "numbers_mt", "one", "parts", "parts_columns", "settings", "table_engines", "table_functions", "tables",
        "time_zones", "zeros", "zeros_mt",
    }
)  # fmt: skip

# They make rows out of nothing but their arguments. `view` takes a query, which is looked at like any other.
TABLE_FUNCTIONS = frozenset(
    {
        "generate_series", "generateseries", "null", "numbers", "numbers_mt", "primes", "sqlstandardvalues",
        "values", "view",
    }
)  # fmt: skip

# Formats that need nothing but the rows. Not among them: those that read or write a schema file
# (Protobuf, CapnProto, Template) or speak another protocol (MySQLWire, …).
FORMATS = frozenset(
    {
        "Arrow", "ArrowStream", "Avro", "BSONEachRow", "CSV", "CSVWithNames", "CSVWithNamesAndTypes", "Hash",
        "JSON", "JSONColumns", "JSONColumnsWithMetadata", "JSONCompact", "JSONCompactColumns",
        "JSONCompactEachRow", "JSONCompactEachRowWithNames", "JSONCompactEachRowWithNamesAndTypes",
        "JSONCompactEachRowWithProgress", "JSONCompactStrings", "JSONCompactStringsEachRow",
        "JSONCompactStringsEachRowWithNames", "JSONCompactStringsEachRowWithNamesAndTypes", "JSONEachRow",
        "JSONEachRowWithProgress", "JSONLines", "JSONObjectEachRow", "JSONStrings", "JSONStringsEachRow",
        "LineAsString", "Markdown", "MD", "MsgPack", "NDJSON", "Native", "Npy", "Null", "ORC", "Parquet",
        "Pretty", "PrettyCompact", "PrettyCompactMonoBlock", "PrettyCompactNoEscapes", "PrettyJSONEachRow",
        "PrettyJSONLines", "PrettyMonoBlock", "PrettyNDJSON", "PrettyNoEscapes", "PrettySpace", "RawBLOB",
        "RowBinary", "RowBinaryWithNames", "RowBinaryWithNamesAndTypes", "TSKV", "TSV", "TSVRaw",
        "TSVRawWithNames", "TSVRawWithNamesAndTypes", "TSVWithNames", "TSVWithNamesAndTypes", "TabSeparated",
        "TabSeparatedRaw", "TabSeparatedRawWithNames", "TabSeparatedRawWithNamesAndTypes",
        "TabSeparatedWithNames", "TabSeparatedWithNamesAndTypes", "Values", "Vertical", "XML",
    }
)  # fmt: skip

# Settings that a reader may lower but not raise; 0, which means no bound, is refused too.
BOUNDED = frozenset(
    {
        "max_block_size", "max_execution_time", "max_memory_usage", "max_result_bytes", "max_result_rows",
        "max_threads",
    }
)  # fmt: skip
# Settings that change how an answer looks or how a query is read, and nothing else. By name, not by
# prefix: output_format_schema, for one, writes a file.
SETTINGS = frozenset(
    {
        "aggregate_functions_null_for_empty", "any_join_distinct_right_table_keys", "cast_keep_nullable", "cast_string_to_dynamic_use_inference",
        "count_distinct_implementation", "cross_to_inner_join_rewrite", "data_type_default_nullable",
        "date_time_input_format",
        "date_time_output_format", "date_time_overflow_behavior", "empty_result_for_aggregation_by_empty_set",
        "enable_named_columns_in_function_tuple", "enable_positional_arguments", "except_default_mode", "extremes",
        "final", "format_csv_delimiter", "format_csv_null_representation", "format_tsv_null_representation",
        "group_by_use_nulls", "intersect_default_mode", "join_default_strictness", "join_use_nulls", "limit",
        "max_bytes_to_read", "max_columns_to_read", "max_rows_to_group_by", "max_rows_to_read",
        "max_rows_to_sort", "offset", "optimize_read_in_order", "output_format_arrow_compression_method",
        "output_format_arrow_date_as_uint16", "output_format_arrow_fixed_string_as_fixed_byte_array",
        "output_format_arrow_low_cardinality_as_dictionary", "output_format_arrow_string_as_string",
        "output_format_arrow_use_64_bit_indexes_for_dictionary",
        "output_format_arrow_use_signed_indexes_for_dictionary", "output_format_csv_crlf_end_of_line",
        "output_format_decimal_trailing_zeros", "output_format_json_array_of_rows",
        "output_format_json_escape_forward_slashes", "output_format_json_named_tuples_as_objects",
        "output_format_json_quote_64bit_floats",
        "output_format_json_quote_64bit_integers", "output_format_json_quote_decimals",
        "output_format_json_quote_denormals", "output_format_json_skip_null_value_in_named_tuples",
        "output_format_json_validate_utf8", "output_format_native_encode_types_in_binary_format",
        "output_format_native_write_json_as_string", "output_format_parquet_compression_method",
        "output_format_parquet_string_as_string", "output_format_pretty_color",
        "output_format_pretty_grid_charset", "output_format_pretty_max_column_pad_width",
        "output_format_pretty_max_rows", "output_format_pretty_max_value_width", "output_format_pretty_row_numbers",
        "output_format_pretty_single_large_number_tip_threshold", "output_format_write_statistics",
        "prefer_column_name_to_alias", "session_timezone", "short_circuit_function_evaluation",
        "totals_mode", "transform_null_in", "union_default_mode", "use_variant_as_common_type",
    }
)  # fmt: skip


def _functions() -> frozenset[str]:
    text = resources.files("chserver").joinpath("allowed_functions.txt").read_text(encoding="utf-8")
    lines = (line for line in text.splitlines() if not line.startswith("#"))
    # The engine takes some names in any case; none that is refused differs from these by case alone.
    return frozenset(name.lower() for line in lines for name in line.split())


FUNCTIONS = _functions()
_COMBINATORS = (
    "argmax", "argmin", "array", "distinct", "foreach", "if", "map", "merge", "null", "ordefault", "ornull",
    "resample", "simplestate", "state", "tuple",
)  # fmt: skip


def function_allowed(name: str) -> bool:
    """Whether a reader may call it: a listed name, or a listed aggregate function with combinators behind it."""
    folded = name.lower()
    if folded in FUNCTIONS:
        return True
    return any(
        folded.endswith(suffix) and function_allowed(folded.removesuffix(suffix)) for suffix in _COMBINATORS
    )
