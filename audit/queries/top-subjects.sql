-- The subjects with the most requests, and how these were decided.
--
-- Question: Who uses the system most, and who is refused most?
-- Control: HIPAA 164.308(a)(1)(ii)(D) (regularly review access reports)
-- Control: SOC 2 CC6.2 and CC6.3 (least privilege: which access is used)
-- Param service = "": Only this service; empty: any.
-- Note: An empty subject stands for requests that nobody decided (no route, no answer), so nobody was named.
-- Note: undecided counts fail_open and not_evaluated.
-- Example: gateledger audit top-subjects --since 7d --limit 20
SELECT
    subject,
    count() AS requests,
    countIf(decision = 'allow') AS allowed,
    countIf(decision = 'deny') AS denied,
    countIf(decision = 'error') AS errors,
    requests - allowed - denied - errors AS undecided,
    -- Counted by a hash of 64 bits, which takes half the time and memory of the texts: two of ten million resources
    -- fall together, and are counted as one, once in some hundred thousand such counts.
    uniqExact(xxh3(service)) AS services,
    uniqExact(bitXor(xxh3(log.url_path), xxh3(service))) AS resources,
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
GROUP BY subject
ORDER BY requests DESC, subject
LIMIT {limit:UInt64}
