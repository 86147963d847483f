"""The wire, written by us and narrow; generated code in protos.gen (make protos)."""
