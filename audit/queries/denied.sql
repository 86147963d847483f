-- Every refusal, newest first, with the reason, the rule, its line and the policy version.
--
-- Question: Who was refused what, and why?
-- Control: PCI DSS 10.2.1.4 (invalid logical access attempts)
-- Control: SOC 2 CC6.1 (access is enforced) and CC6.6 (protection from outside the boundary)
-- Control: HIPAA 164.312(b) (record and examine activity)
-- Param subject = "": Only this subject; empty: any.
-- Param service = "": Only this service; empty: any.
-- Note: A request that could not be decided is no refusal: see authz-errors.
-- Example: gateledger audit denied --since 1h
SELECT
    time,
    subject,
    action,
    service,
    url_path,
    reason_code,
    reason,
    rule,
    rule_line,
    policy_version,
    decision_id,
    if(log.client_address = toIPv6('::'), '', replaceRegexpOne(
        toString(log.client_address), '^::ffff:([0-9]+[.][0-9.]+)$', '\\1')) AS client_address
FROM audit.access_log AS log
WHERE _partition_value.1 >= toDate32({since:DateTime64(9, 'UTC')} - INTERVAL 1 DAY)
  AND time >= {since:DateTime64(9, 'UTC')}
  AND time < {until:DateTime64(9, 'UTC')}
  AND is_end
  AND decision = 'deny'
  AND ({subject:String} = '' OR subject = {subject:String})
  AND ({service:String} = '' OR service = {service:String})
ORDER BY time DESC, decision_id
LIMIT {limit:UInt64}
