-- How often each reason refused a request, and how many subjects and resources it met.
--
-- Question: Why are requests refused, and did the mix change?
-- Control: SOC 2 CC6.1 (access is enforced) and CC7.2 (monitor for anomalies)
-- Control: PCI DSS 10.2.1.4 (invalid logical access attempts)
-- Param service = "": Only this service; empty: any.
-- Note: Counts refusals (deny) and requests that could not be decided (error); share is of both together.
-- Example: gateledger audit denial-reasons --since 7d
SELECT
    reason_code,
    decision,
    count() AS requests,
    requests / sum(requests) OVER () AS share,
    uniqExact(subject) AS subjects,
    uniqExact(service, url_path) AS resources,
    min(time) AS first_seen,
    max(time) AS last_seen,
    argMax(decision_id, time) AS last_decision_id
FROM audit.access_log
WHERE _partition_value.1 >= toDate32({since:DateTime64(9, 'UTC')} - INTERVAL 1 DAY)
  AND time >= {since:DateTime64(9, 'UTC')}
  AND time < {until:DateTime64(9, 'UTC')}
  AND is_end
  AND decision IN ('deny', 'error')
  AND ({service:String} = '' OR service = {service:String})
GROUP BY reason_code, decision
ORDER BY requests DESC, reason_code, decision
LIMIT {limit:UInt64}
