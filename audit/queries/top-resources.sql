-- The resources with the most requests, and how these were decided.
--
-- Question: What is used most, and by how many?
-- Control: GDPR Art. 30 (input for the register: observed recipients and volumes per route)
-- Control: SOC 2 CC6.1 (which protected assets are reached)
-- Param service = "": Only this service; empty: any.
-- Param depth = 0: Count paths by their first so many segments, e.g. 1 makes /orders of /orders/7; 0: whole paths.
-- Note: undecided counts fail_open and not_evaluated.
-- Example: gateledger audit top-resources --depth 1 --since 7d
WITH
    if({depth:UInt8} = 0, log.url_path, substringIndex(log.url_path, '/', {depth:UInt8} + 1)) AS path
SELECT
    service,
    path AS url_path,
    count() AS requests,
    countIf(decision = 'allow') AS allowed,
    countIf(decision = 'deny') AS denied,
    countIf(decision = 'error') AS errors,
    countIf(decision IN ('fail_open', 'not_evaluated')) AS undecided,
    uniqExact(xxh3(subject)) AS subjects,
    sum(log.request_bytes) AS request_bytes,
    sum(log.response_bytes) AS response_bytes,
    min(time) AS first_seen,
    max(time) AS last_seen
FROM audit.access_log AS log
WHERE _partition_value.1 >= toDate32({since:DateTime64(9, 'UTC')} - INTERVAL 1 DAY)
  AND time >= {since:DateTime64(9, 'UTC')}
  AND time < {until:DateTime64(9, 'UTC')}
  AND is_end
  AND ({service:String} = '' OR service = {service:String})
  -- First which resources come out, by their count alone; then what there is to say of these few. By a hash of 64
  -- bits: what falls together with one of them is let in here, and ends below the limit as it should.
  AND xxh3(service, path) GLOBAL IN (
      SELECT xxh3(service, path) AS mark
      FROM audit.access_log AS log
      WHERE _partition_value.1 >= toDate32({since:DateTime64(9, 'UTC')} - INTERVAL 1 DAY)
        AND time >= {since:DateTime64(9, 'UTC')}
        AND time < {until:DateTime64(9, 'UTC')}
        AND is_end
        AND ({service:String} = '' OR service = {service:String})
      GROUP BY mark
      ORDER BY count() DESC
      LIMIT {limit:UInt64} WITH TIES
  )
GROUP BY service, path
ORDER BY requests DESC, service, url_path
LIMIT {limit:UInt64}
