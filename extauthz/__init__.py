"""The decision point: Envoy's Check in, a decision of the policy out."""
