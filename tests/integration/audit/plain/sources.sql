SELECT
    subject,
    if(log.client_address = toIPv6('::'), '', replaceRegexpOne(
        toString(log.client_address), '^::ffff:([0-9]+[.][0-9.]+)$', '\\1')) AS client_address,
    count() OVER (PARTITION BY subject) AS subject_addresses,
    count() AS requests,
    countIf(decision = 'allow') AS allowed,
    countIf(decision = 'deny') AS denied,
    uniqExact(service) AS services,
    uniqExact(user_agent_original) AS user_agents,
    min(time) AS first_seen,
    max(time) AS last_seen
FROM audit.access_log AS log
WHERE received_at >= {since:DateTime64(9, 'UTC')} - INTERVAL 1 DAY
  AND time >= {since:DateTime64(9, 'UTC')}
  AND time < {until:DateTime64(9, 'UTC')}
  AND is_end
  AND ({subject:String} = '' OR subject = {subject:String})
  AND ({service:String} = '' OR service = {service:String})
GROUP BY subject, log.client_address
ORDER BY subject_addresses DESC, subject, requests DESC, client_address
LIMIT {limit:UInt64}
