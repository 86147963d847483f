-- Every request for one resource, newest first: who, what, when, from where, and how it ended.
--
-- Question: Who touched this record, and what did each of them do?
-- Control: PCI DSS 10.2.1.1 (all individual access to cardholder data) and 10.2.2 (user, type, time,
--     success or failure, origin, resource of each event)
-- Control: HIPAA 164.312(b) (record and examine activity)
-- Control: GDPR Art. 15 (dates of consultations; whose they were is not for the data subject as such) and
--     Art. 33 (what a breach touched)
-- Param resource: Path as the policy saw it, e.g. /orders/1; a * at the end stands for any rest.
-- Param service = "": Only this service; empty: any.
-- Param decision = "" in allow,deny,error,fail_open,not_evaluated: Only allow, deny, error, fail_open or not_evaluated; empty: any.
-- Example: gateledger audit who-accessed --resource '/orders/*' --since 7d
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
WHERE _partition_value.1 >= toDate32({since:DateTime64(9, 'UTC')} - INTERVAL 1 DAY)
  AND time >= {since:DateTime64(9, 'UTC')}
  AND time < {until:DateTime64(9, 'UTC')}
  AND is_end
  AND startsWith(url_path, if(
      endsWith({resource:String}, '*'), left({resource:String}, length({resource:String}) - 1), {resource:String}))
  AND (endsWith({resource:String}, '*') OR url_path = {resource:String})
  AND ({service:String} = '' OR service = {service:String})
  AND ({decision:String} = '' OR toString(decision) = {decision:String})
ORDER BY time DESC, decision_id, request_id
LIMIT {limit:UInt64}
