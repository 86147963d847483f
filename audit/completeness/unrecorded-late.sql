-- As unrecorded.sql, without what a record tells of that came later: a request may stay open for days. The few names
-- that are looked for there let the index on decision_id and request_id pass over nearly everything.
-- And without decisions that Envoy did not hear, because the worker of extauthz that had journalled it died, and asked
-- for again: the same question of the same request within seconds, decided once more, with a record.
WITH missing AS
(
    SELECT decided.envoy_node AS envoy_node, decided.time AS time, decided.effect AS effect,
        decided.decision_id AS decision_id, decided.request_id AS request_id,
        (decided.subject, decided.service, decided.action, decided.resource) AS question
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
            AND recorded.is_end AND recorded.request_id != ''
            AND (recorded.decision_id = '' OR recorded.reason_code IN ('audit_unavailable', 'deadline_exceeded'))))
)
SELECT
    envoy_node,
    toStartOfMinute(time) AS minute,
    effect = 'allow' AS may_be_open,
    count() AS missing,
    argMax(decision_id, time) AS one_decision_id,
    argMax(request_id, time) AS one_request_id,
    max(time) AS last_time
FROM missing
WHERE decision_id NOT IN (
      SELECT recorded.decision_id
      FROM audit.access_log AS recorded
      WHERE recorded.received_at >= {until:DateTime64(9, 'UTC')} + INTERVAL 1 HOUR
        AND recorded.is_end AND recorded.decision_id != ''
        AND recorded.decision_id IN (SELECT decision_id FROM missing))
  AND (request_id = '' OR request_id NOT IN (
      SELECT recorded.request_id
      FROM audit.access_log AS recorded
      WHERE recorded.received_at >= {until:DateTime64(9, 'UTC')} + INTERVAL 1 HOUR
        AND recorded.is_end AND recorded.request_id != ''
        AND (recorded.decision_id = '' OR recorded.reason_code IN ('audit_unavailable', 'deadline_exceeded'))
        AND recorded.request_id IN (SELECT request_id FROM missing)))
  AND decision_id NOT IN (
      SELECT missing.decision_id
      FROM missing
      INNER JOIN (
          SELECT decided.envoy_node, decided.time, decided.decision_id, decided.request_id,
              (decided.subject, decided.service, decided.action, decided.resource) AS question
          FROM audit.decision_log AS decided
          WHERE decided.request_id != ''
            AND decided.request_id IN (SELECT request_id FROM missing)
            AND decided.decision_id IN (
                SELECT recorded.decision_id
                FROM audit.access_log AS recorded
                WHERE recorded.is_end AND recorded.decision_id != ''
                  AND recorded.request_id IN (SELECT request_id FROM missing WHERE request_id != ''))
      ) AS again
      ON again.envoy_node = missing.envoy_node AND again.request_id = missing.request_id
          AND again.question = missing.question
      WHERE again.time > missing.time AND again.time <= missing.time + INTERVAL 10 SECOND)
GROUP BY envoy_node, minute, may_be_open
ORDER BY minute DESC, envoy_node, may_be_open
