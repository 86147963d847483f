-- Each reading of an Envoy's counters since then, one row a reading. Counters begin at 0 with each Envoy's start.
SELECT
    envoy_node,
    started_at,
    time,
    sumIf(value, name LIKE 'http.%.downstream_rq_completed') AS completed,
    sumIf(value, name LIKE 'http.%.downstream_rq_active') AS active,
    sumIf(value, name LIKE 'access\_logs.%.logs_written') AS written,
    sumIf(value, name LIKE 'access\_logs.%.logs_dropped') AS dropped,
    sumIf(value, name LIKE 'access\_logs.%.grpc_entries_flushed') AS flushed,
    sumIf(value, name LIKE 'http.%.ext_authz.%ok') AS allowed,
    sumIf(value, name LIKE 'http.%.ext_authz.%denied' AND name NOT LIKE '%shadow_denied') AS denied,
    sumIf(value, name LIKE '%.grpc_entries_flush_failed' OR name LIKE 'cluster.alslog.%') AS broken
FROM audit.envoy_counters
WHERE time >= {since:DateTime64(9, 'UTC')}
GROUP BY envoy_node, started_at, time
ORDER BY envoy_node, time
