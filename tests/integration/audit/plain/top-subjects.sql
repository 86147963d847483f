SELECT
    subject,
    count() AS requests,
    countIf(decision = 'allow') AS allowed,
    countIf(decision = 'deny') AS denied,
    countIf(decision = 'error') AS errors,
    countIf(decision IN ('fail_open', 'not_evaluated')) AS undecided,
    uniqExact(service) AS services,
    uniqExact(service, url_path) AS resources,
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
GROUP BY subject
ORDER BY requests DESC, subject
LIMIT {limit:UInt64}
