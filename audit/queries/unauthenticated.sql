-- Requests without a verified identity, by client address: no credentials, bad ones, anonymous use.
--
-- Question: Who comes without credentials or with bad ones, from where, and what was let through?
-- Control: PCI DSS 10.2.1.4 (invalid logical access attempts)
-- Control: HIPAA 164.312(a)(2)(i) (unique user identification) and 164.312(d) (authentication)
-- Control: SOC 2 CC6.6 (protection from outside the boundary)
-- Param service = "": Only this service; empty: any.
-- Note: decision allow stands for what the policy opens to anonymous.
-- Example: gateledger audit unauthenticated --since 24h
SELECT
    if(log.client_address = toIPv6('::'), '', replaceRegexpOne(
        toString(log.client_address), '^::ffff:([0-9]+[.][0-9.]+)$', '\\1')) AS client_address,
    decision,
    reason_code,
    count() AS requests,
    uniqExact(service) AS services,
    uniqExact(service, url_path) AS resources,
    uniqExact(user_agent_original) AS user_agents,
    min(time) AS first_seen,
    max(time) AS last_seen,
    argMax(url_path, time) AS last_url_path,
    argMax(decision_id, time) AS last_decision_id
FROM audit.access_log AS log
WHERE _partition_value.1 >= toDate32({since:DateTime64(9, 'UTC')} - INTERVAL 1 DAY)
  AND time >= {since:DateTime64(9, 'UTC')}
  AND time < {until:DateTime64(9, 'UTC')}
  AND is_end
  AND (auth_method = 'none' OR reason_code IN ('unauthenticated', 'invalid_credential'))
  AND ({service:String} = '' OR service = {service:String})
GROUP BY log.client_address, decision, reason_code
ORDER BY requests DESC, client_address, decision, reason_code
LIMIT {limit:UInt64}
