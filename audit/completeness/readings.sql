-- Each reading of an Envoy's counters since then, one row a reading. Counters begin at 0 with each Envoy's start.
-- What has ended is what came less what is under way. downstream_rq_completed counts answers when they begin, and no
-- request whose client left before that; it has to do for readings from before the total was kept.
SELECT
    envoy_node,
    started_at,
    time,
    sumIf(value, name LIKE 'http.%.downstream_rq_active') AS active,
    sumIf(value, name LIKE 'http.%.downstream_rq_total') AS total,
    if(total > 0, greatest(total - active, 0), sumIf(value, name LIKE 'http.%.downstream_rq_completed')) AS completed,
    sumIf(value, name LIKE 'access\_logs.%.logs_written') AS written,
    sumIf(value, name LIKE 'access\_logs.%.logs_dropped') AS dropped,
    sumIf(value, name LIKE 'access\_logs.%.grpc_entries_flushed') AS flushed,
    sumIf(value, name LIKE 'http.%.ext_authz.%ok') AS allowed,
    sumIf(value, name LIKE 'http.%.ext_authz.%denied' AND name NOT LIKE '%shadow_denied') AS denied,
    sumIf(value, name LIKE '%.grpc_entries_flush_failed' OR name LIKE 'cluster.alslog.%') AS broken,
    maxIf(value, name = 'gateledger.reading_us') AS took_us
FROM audit.envoy_counters
WHERE time >= {since:DateTime64(9, 'UTC')}
GROUP BY envoy_node, started_at, time
ORDER BY envoy_node, time
