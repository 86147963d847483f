-- Which subject is refused which resource most often, and by which rule.
--
-- Question: Who knocks at a closed door again and again, or lacks a grant that the work needs?
-- Control: PCI DSS 10.2.1.4 (invalid logical access attempts)
-- Control: SOC 2 CC6.3 (role based, least privilege) and CC7.2 (monitor for anomalies)
-- Param service = "": Only this service; empty: any.
-- Note: rule and last_decision_id are those of the newest refusal.
-- Example: gateledger audit top-denied --since 7d --limit 20
SELECT
    subject,
    service,
    url_path,
    reason_code,
    count() AS requests,
    uniqExact(client_address) AS client_addresses,
    argMax(log.rule, time) AS rule,
    min(time) AS first_seen,
    max(time) AS last_seen,
    argMax(decision_id, time) AS last_decision_id
FROM audit.access_log AS log
WHERE received_at >= {since:DateTime64(9, 'UTC')} - INTERVAL 1 DAY
  AND time >= {since:DateTime64(9, 'UTC')}
  AND time < {until:DateTime64(9, 'UTC')}
  AND is_end
  AND decision = 'deny'
  AND ({service:String} = '' OR service = {service:String})
GROUP BY subject, service, url_path, reason_code
ORDER BY requests DESC, subject, service, url_path, reason_code
LIMIT {limit:UInt64}
