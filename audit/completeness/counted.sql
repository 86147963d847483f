-- How many requests ended, and how many decisions fell, between one reading of an Envoy's counters and the next.
-- A request that ends while the counters are read may be in either: each reading is moved by `slack_us` and by the
-- time that it took, the first one, from which is counted, the other way; so what is found is the most (or with a
-- negative slack the least) that the counters can have seen. Readings that stand too near to the first for that are
-- left out. What ended belongs to the Envoy that ran then, wherever a reading is moved to: what ended after the last
-- reading of an Envoy that was killed is in no reading.
WITH readings AS
(
    SELECT
        envoy_node, started_at, time, took_us,
        min(time) OVER each AS first_time,
        time = first_time AND started_at < {since:DateTime64(9, 'UTC')} AS is_base,
        if(is_base, -1, 1) * {slack_us:Int64} AS moved_us
    FROM (
        SELECT envoy_node, started_at, time, maxIf(value, name = 'gateledger.reading_us') AS took_us
        FROM audit.envoy_counters
        WHERE time >= {since:DateTime64(9, 'UTC')}
        GROUP BY envoy_node, started_at, time)
    WINDOW each AS (PARTITION BY envoy_node, started_at)
),
edges AS
(
    SELECT
        envoy_node, started_at, time,
        -- The counters were looked up after they were asked for, and before `time`, when the answer was there.
        time + toIntervalMicrosecond(moved_us - if(moved_us < 0, toInt64(took_us), 0)) AS edge
    FROM readings
    WHERE started_at >= {since:DateTime64(9, 'UTC')}
       OR is_base
       OR time - toIntervalMicrosecond(took_us) >= first_time + toIntervalMicrosecond(2 * abs({slack_us:Int64}))
),
starts AS
(
    SELECT DISTINCT envoy_node, started_at, toDateTime64(started_at, 9, 'UTC') AS start FROM readings
),
seen AS
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
),
own AS
(
    SELECT seen.node AS node, starts.started_at AS own_start, seen.at AS at, ends, allows, denials
    FROM seen ASOF JOIN starts ON seen.node = starts.envoy_node AND seen.at >= starts.start
)
SELECT envoy_node, started_at, time, sum(ends) AS ends, sum(allows) AS allows, sum(denials) AS denials
FROM own
ASOF JOIN edges ON own.node = edges.envoy_node AND own.own_start = edges.started_at AND own.at <= edges.edge
GROUP BY envoy_node, started_at, time
