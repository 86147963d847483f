-- Requests that could not be decided, or that passed without a decision, newest first.
--
-- Question: When did the decision point fail, and did anything pass while it did?
-- Control: PCI DSS 10.7 (failures are detected and answered)
-- Control: SOC 2 CC7.2 and CC7.3 (monitor for anomalies, evaluate events)
-- Param service = "": Only this service; empty: any.
-- Note: decision error was refused (the gate fails closed); fail_open reached the upstream undecided.
-- Example: gateledger audit authz-errors --since 7d
SELECT
    time,
    decision,
    reason_code,
    reason,
    subject,
    http_request_method,
    service,
    url_path,
    http_response_status_code AS status_code,
    response_code_details,
    arrayMap(flag -> toString(flag), log.response_flags) AS response_flags,
    authz_duration_us,
    envoy_node,
    if(log.client_address = toIPv6('::'), '', replaceRegexpOne(
        toString(log.client_address), '^::ffff:([0-9]+[.][0-9.]+)$', '\\1')) AS client_address,
    decision_id,
    request_id
FROM audit.access_log AS log
WHERE _partition_value.1 >= toDate32({since:DateTime64(9, 'UTC')} - INTERVAL 1 DAY)
  AND time >= {since:DateTime64(9, 'UTC')}
  AND time < {until:DateTime64(9, 'UTC')}
  AND is_end
  AND decision IN ('error', 'fail_open')
  AND ({service:String} = '' OR service = {service:String})
ORDER BY time DESC, decision_id, request_id
LIMIT {limit:UInt64}
