SELECT
    service,
    if({depth:UInt8} = 0, log.url_path, arrayStringConcat(
        arraySlice(splitByChar('/', log.url_path), 1, {depth:UInt8} + 1), '/')) AS url_path,
    count() AS requests,
    countIf(decision = 'allow') AS allowed,
    countIf(decision = 'deny') AS denied,
    countIf(decision = 'error') AS errors,
    countIf(decision IN ('fail_open', 'not_evaluated')) AS undecided,
    uniqExact(subject) AS subjects,
    sum(log.request_bytes) AS request_bytes,
    sum(log.response_bytes) AS response_bytes,
    min(time) AS first_seen,
    max(time) AS last_seen
FROM audit.access_log AS log
WHERE received_at >= {since:DateTime64(9, 'UTC')} - INTERVAL 1 DAY
  AND time >= {since:DateTime64(9, 'UTC')}
  AND time < {until:DateTime64(9, 'UTC')}
  AND is_end
  AND ({service:String} = '' OR service = {service:String})
GROUP BY service, url_path
ORDER BY requests DESC, service, url_path
LIMIT {limit:UInt64}
