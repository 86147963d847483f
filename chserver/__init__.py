"""ClickHouse's HTTP interface over chDB, the real ClickHouse engine as a library: the embedded default."""
