"""The durable queue on disk; knows nothing of Envoy or ClickHouse."""
