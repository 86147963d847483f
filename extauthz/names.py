"""What Envoy calls the decision point, and what its bootstrap adds to each Check."""

from __future__ import annotations

SERVICE = "envoy.service.auth.v3.Authorization"
METHOD = "Check"
# Metadata with the name of the Envoy that asks.
NODE_KEY = "x-gateledger-node"
