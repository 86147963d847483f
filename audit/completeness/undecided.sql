-- Records that name a decision which extauthz's journal does not hold, by the minute in which the request ended. Only
-- decisions within an hour are looked at, so that memory follows the span that is asked about; undecided-early.sql
-- goes on where some are missing.
SELECT
    envoy_node,
    toStartOfMinute(ended) AS minute,
    reason_code,
    count() AS missing,
    argMax(decision_id, ended) AS one_decision_id,
    argMax(request_id, ended) AS one_request_id
FROM
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
GROUP BY envoy_node, minute, reason_code
ORDER BY minute DESC, envoy_node, reason_code
