-- What clients got: status codes by service and decision, with their share of the service's requests.
--
-- Question: Do refusals and failures show as they should, and did anything change?
-- Control: PCI DSS 10.2.2 (success or failure of each event)
-- Control: SOC 2 CC7.2 (monitor for anomalies)
-- Param service = "": Only this service; empty: any.
-- Note: status_code 0: the connection ended before an answer, or the entry is TCP.
-- Example: gateledger audit status-codes --since 24h
SELECT
    service,
    http_response_status_code AS status_code,
    decision,
    count() AS requests,
    requests / sum(requests) OVER (PARTITION BY service) AS share,
    min(time) AS first_seen,
    max(time) AS last_seen,
    argMax(response_code_details, time) AS last_response_code_details
FROM audit.access_log
WHERE _partition_value.1 >= toDate32({since:DateTime64(9, 'UTC')} - INTERVAL 1 DAY)
  AND time >= {since:DateTime64(9, 'UTC')}
  AND time < {until:DateTime64(9, 'UTC')}
  AND is_end
  AND ({service:String} = '' OR service = {service:String})
GROUP BY service, status_code, decision
ORDER BY service, requests DESC, status_code, decision
LIMIT {limit:UInt64}
