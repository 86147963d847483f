-- Everything that one subject did or tried, newest first.
--
-- Question: What did this person or machine do between two moments?
-- Control: HIPAA 164.312(b) (record and examine activity) and 164.308(a)(1)(ii)(D) (regularly review
--     access reports)
-- Control: PCI DSS 10.2.1.1 (all individual access) and 10.2.1.2 (administrative actions, with --service)
-- Control: GDPR Art. 33 (what a breached account touched)
-- Control: SOC 2 CC7.3 (evaluate events)
-- Param subject: The verified subject, e.g. alice.
-- Param service = "": Only this service; empty: any.
-- Param decision = "" in allow,deny,error,fail_open,not_evaluated: Only allow, deny, error, fail_open or not_evaluated; empty: any.
-- Example: gateledger audit activity --subject alice --since 2d
SELECT
    time,
    subject,
    action,
    service,
    url_path,
    decision,
    reason_code,
    http_response_status_code AS status_code,
    request_bytes,
    response_bytes,
    if(log.client_address = toIPv6('::'), '', replaceRegexpOne(
        toString(log.client_address), '^::ffff:([0-9]+[.][0-9.]+)$', '\\1')) AS client_address,
    user_agent_original,
    decision_id,
    request_id
FROM audit.access_log AS log
WHERE _partition_value.1 >= toDate32({since:DateTime64(9, 'UTC')} - INTERVAL 1 DAY)
  AND time >= {since:DateTime64(9, 'UTC')}
  AND time < {until:DateTime64(9, 'UTC')}
  AND is_end
  AND subject = {subject:String}
  AND ({service:String} = '' OR service = {service:String})
  AND ({decision:String} = '' OR toString(decision) = {decision:String})
ORDER BY time DESC, decision_id, request_id
LIMIT {limit:UInt64}
