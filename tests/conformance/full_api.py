"""Runs in the environment that has xds-protos; prints its definitions as JSON."""

from __future__ import annotations

import json
import sys
from importlib import import_module
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from descriptors import described

MODULES = [
    "envoy.config.core.v3.address_pb2",
    "envoy.config.core.v3.base_pb2",
    "envoy.type.v3.http_status_pb2",
    "envoy.service.auth.v3.attribute_context_pb2",
    "envoy.service.auth.v3.external_auth_pb2",
    "envoy.data.accesslog.v3.accesslog_pb2",
    "envoy.service.accesslog.v3.als_pb2",
]

if __name__ == "__main__":
    print(json.dumps(described([import_module(name).DESCRIPTOR for name in MODULES])))  # noqa: T201
