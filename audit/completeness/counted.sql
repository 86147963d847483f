-- How many requests ended, and how many decisions fell, between one reading of an Envoy's counters and the next.
-- A request that ends while the counters are read may be in either: each reading is moved by `slack_us`, the first
-- one, from which is counted, the other way; so what is found is the most (or with a negative slack the least)
-- that the counters can have seen. Readings that stand too near to the first for that are left out.
WITH readings AS
(
    SELECT envoy_node, started_at, time, min(time) OVER (PARTITION BY envoy_node, started_at) AS first_time
    FROM (
        SELECT DISTINCT envoy_node, started_at, time
        FROM audit.envoy_counters
        WHERE time >= {since:DateTime64(9, 'UTC')})
),
edges AS
(
    SELECT
        envoy_node,
        started_at,
        time,
        time + toIntervalMicrosecond(
            if(time = first_time AND started_at < {since:DateTime64(9, 'UTC')}, -1, 1) * {slack_us:Int64}) AS edge
    FROM readings
    WHERE started_at >= {since:DateTime64(9, 'UTC')}
       OR time = first_time
       OR time >= first_time + toIntervalMicrosecond(2 * abs({slack_us:Int64}))
    UNION ALL
    -- Where an Envoy started: what came before is not its own.
    SELECT DISTINCT envoy_node, started_at, started_at AS time, toDateTime64(started_at, 9, 'UTC') AS edge
    FROM readings
)
SELECT envoy_node, started_at, time, sum(ends) AS ends, sum(allows) AS allows, sum(denials) AS denials
FROM
(
    SELECT
        recorded.envoy_node AS node, recorded.time + toIntervalMicrosecond(recorded.duration_us) AS at,
        1 AS ends, 0 AS allows, 0 AS denials
    FROM audit.access_log AS recorded
    WHERE recorded.received_at >= {since:DateTime64(9, 'UTC')} - INTERVAL 1 HOUR
      AND recorded.is_end AND recorded.network_protocol != 'tcp'
    UNION ALL
    SELECT
        decided.envoy_node AS node, decided.time AS at,
        0 AS ends, decided.effect = 'allow' AS allows,
        decided.reason_code IN (
            'rule_deny', 'no_matching_rule', 'unauthenticated', 'invalid_credential', 'bad_path', 'bad_request') AS denials
    FROM audit.decision_log AS decided
    WHERE decided.received_at >= {since:DateTime64(9, 'UTC')} - INTERVAL 1 HOUR
) AS seen
ASOF JOIN edges ON seen.node = edges.envoy_node AND seen.at <= edges.edge
GROUP BY envoy_node, started_at, time
