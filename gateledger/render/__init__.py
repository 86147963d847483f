"""From services.yaml to Envoy's bootstrap.

envoy/bootstrap.yaml is the one source of what is the same for everyone; here the parts that differ (listeners,
TLS, tokens, routes, upstreams) are built with envoy-data-plane's types and put in their places, and the whole
is checked against those types. The real Envoy has the last word. Imported only where something is rendered:
the types take half a second to load.
"""
