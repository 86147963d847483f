"""The writer: from the spools into ClickHouse; one process, the only write credential."""
