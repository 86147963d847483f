"""The access log service: Envoy's entries from the wire into the spool."""
