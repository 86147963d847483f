SELECT
    time,
    subject,
    auth_method,
    action,
    service,
    url_path,
    decision,
    reason_code,
    http_response_status_code AS status_code,
    response_bytes,
    if(log.client_address = toIPv6('::'), '', replaceRegexpOne(
        toString(log.client_address), '^::ffff:([0-9]+[.][0-9.]+)$', '\\1')) AS client_address,
    decision_id,
    request_id
FROM audit.access_log AS log
WHERE received_at >= {since:DateTime64(9, 'UTC')} - INTERVAL 1 DAY
  AND time >= {since:DateTime64(9, 'UTC')}
  AND time < {until:DateTime64(9, 'UTC')}
  AND is_end
  AND if(
      endsWith({resource:String}, '*'),
      startsWith(url_path, substring({resource:String}, 1, length({resource:String}) - 1)),
      url_path = {resource:String}
  )
  AND ({service:String} = '' OR service = {service:String})
  AND ({decision:String} = '' OR toString(decision) = {decision:String})
ORDER BY time DESC, decision_id, request_id
LIMIT {limit:UInt64}
