-- As undecided.sql, without what the journal held before (or long after): a decision stands at its request's start,
-- which may be days before its end. The few names let the index on decision_id pass over nearly everything.
WITH missing AS
(
    SELECT
        recorded.envoy_node AS envoy_node, recorded.reason_code AS reason_code, recorded.decision_id AS decision_id,
        recorded.request_id AS request_id, recorded.time + toIntervalMicrosecond(recorded.duration_us) AS ended
    FROM audit.access_log AS recorded
    WHERE recorded.received_at >= {since:DateTime64(9, 'UTC')} - INTERVAL 1 HOUR
      AND recorded.time < {until:DateTime64(9, 'UTC')}
      AND recorded.is_end AND recorded.decision_id != ''
      AND ended >= {since:DateTime64(9, 'UTC')}
      AND ended < {until:DateTime64(9, 'UTC')}
      AND sipHash128(recorded.decision_id) NOT IN (
          SELECT sipHash128(decided.decision_id)
          FROM audit.decision_log AS decided
          WHERE decided.received_at >= {since:DateTime64(9, 'UTC')} - INTERVAL 1 HOUR
            AND decided.received_at < {until:DateTime64(9, 'UTC')} + INTERVAL 1 HOUR)
)
SELECT
    envoy_node,
    toStartOfMinute(ended) AS minute,
    reason_code,
    count() AS missing,
    argMax(decision_id, ended) AS one_decision_id,
    argMax(request_id, ended) AS one_request_id
FROM missing
WHERE decision_id NOT IN (
      SELECT decided.decision_id
      FROM audit.decision_log AS decided
      WHERE (decided.received_at < {since:DateTime64(9, 'UTC')} - INTERVAL 1 HOUR
          OR decided.received_at >= {until:DateTime64(9, 'UTC')} + INTERVAL 1 HOUR)
        AND decided.decision_id IN (SELECT decision_id FROM missing))
GROUP BY envoy_node, minute, reason_code
ORDER BY minute DESC, envoy_node, reason_code
