WITH
    if({depth:UInt8} = 0, log.url_path, arrayStringConcat(
        arraySlice(splitByChar('/', log.url_path), 1, {depth:UInt8} + 1), '/')) AS path,
    if({history_days:UInt16} = 0, toDateTime64(0, 9, 'UTC'),
        {since:DateTime64(9, 'UTC')} - toIntervalDay({history_days:UInt16})) AS history_from
SELECT
    subject,
    service,
    path AS url_path,
    min(time) AS first_seen,
    max(time) AS last_seen,
    count() AS requests,
    argMin(log.action, time) AS first_action,
    argMin(log.rule, time) AS first_rule,
    argMin(if(log.client_address = toIPv6('::'), '', replaceRegexpOne(
        toString(log.client_address), '^::ffff:([0-9]+[.][0-9.]+)$', '\\1')), time) AS first_client_address,
    argMin(log.decision_id, time) AS first_decision_id
FROM audit.access_log AS log
WHERE received_at >= {since:DateTime64(9, 'UTC')} - INTERVAL 1 DAY
  AND time >= {since:DateTime64(9, 'UTC')}
  AND time < {until:DateTime64(9, 'UTC')}
  AND is_end
  AND decision IN ('allow', 'fail_open')
  AND ({service:String} = '' OR service = {service:String})
  AND (subject, service, path) NOT IN (
      SELECT subject, service, path
      FROM audit.access_log AS log
      WHERE received_at >= history_from - INTERVAL 1 DAY
        AND time >= history_from
        AND time < {since:DateTime64(9, 'UTC')}
        AND is_end
        AND decision IN ('allow', 'fail_open')
  )
GROUP BY subject, service, path
ORDER BY first_seen DESC, subject, service, url_path
LIMIT {limit:UInt64}
