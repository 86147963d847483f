SELECT
    toStartOfHour(time) AS hour,
    subject,
    if(subject IN ('', 'anonymous'), if(log.client_address = toIPv6('::'), '', replaceRegexpOne(
        toString(log.client_address), '^::ffff:([0-9]+[.][0-9.]+)$', '\\1')), '') AS client_address,
    uniqExact(service, url_path) AS resources,
    uniqExact(service) AS services,
    count() AS requests,
    countIf(decision = 'allow') AS allowed,
    countIf(decision = 'deny') AS denied,
    countIf(http_response_status_code = 404) AS not_found,
    min(time) AS first_seen,
    max(time) AS last_seen,
    argMin(url_path, time) AS first_url_path,
    argMax(url_path, time) AS last_url_path
FROM audit.access_log AS log
WHERE received_at >= {since:DateTime64(9, 'UTC')} - INTERVAL 1 DAY
  AND time >= {since:DateTime64(9, 'UTC')}
  AND time < {until:DateTime64(9, 'UTC')}
  AND is_end
  AND ({service:String} = '' OR service = {service:String})
GROUP BY hour, subject, client_address
HAVING resources >= {min_resources:UInt32}
ORDER BY resources DESC, hour DESC, subject, client_address
LIMIT {limit:UInt64}
