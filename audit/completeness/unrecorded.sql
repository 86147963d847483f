-- Decisions that extauthz journalled and no record of a finished request tells of: neither under their own name,
-- nor, where Envoy had stopped waiting for the answer, under the request's. Only records that came within an hour are
-- looked at, so that memory follows the span that is asked about; unrecorded-late.sql goes on where some are missing.
SELECT
    envoy_node,
    toStartOfMinute(time) AS minute,
    effect = 'allow' AS may_be_open,
    count() AS missing,
    argMax(decision_id, time) AS one_decision_id,
    argMax(request_id, time) AS one_request_id,
    max(time) AS last_time
FROM audit.decision_log AS decided
WHERE decided.received_at >= {since:DateTime64(9, 'UTC')} - INTERVAL 1 HOUR
  AND decided.time >= {since:DateTime64(9, 'UTC')}
  AND decided.time < {until:DateTime64(9, 'UTC')}
  AND sipHash128(decided.decision_id) NOT IN (
      SELECT sipHash128(recorded.decision_id)
      FROM audit.access_log AS recorded
      WHERE recorded.received_at >= {since:DateTime64(9, 'UTC')} - INTERVAL 1 HOUR
        AND recorded.received_at < {until:DateTime64(9, 'UTC')} + INTERVAL 1 HOUR
        AND recorded.is_end AND recorded.decision_id != '')
  AND (decided.request_id = '' OR sipHash128(decided.request_id) NOT IN (
      SELECT sipHash128(recorded.request_id)
      FROM audit.access_log AS recorded
      WHERE recorded.received_at >= {since:DateTime64(9, 'UTC')} - INTERVAL 1 HOUR
        AND recorded.received_at < {until:DateTime64(9, 'UTC')} + INTERVAL 1 HOUR
        AND recorded.is_end AND recorded.decision_id = '' AND recorded.request_id != ''))
GROUP BY envoy_node, minute, may_be_open
ORDER BY minute DESC, envoy_node, may_be_open
