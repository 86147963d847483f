-- The client addresses that each subject came from; subjects with the most addresses first.
--
-- Question: Is one identity used from many places, or by many people?
-- Control: HIPAA 164.312(a)(2)(i) (unique user identification)
-- Control: PCI DSS 10.2.2 (origin of each event)
-- Control: SOC 2 CC6.6 (protection from outside the boundary) and CC7.2 (monitor for anomalies)
-- Param subject = "": Only this subject; empty: any.
-- Param service = "": Only this service; empty: any.
-- Note: subject_addresses counts all addresses of the subject in the window.
-- Example: gateledger audit sources --subject alice --since 30d
WITH
    if(log.client_address = toIPv6('::'), '', replaceRegexpOne(
        toString(log.client_address), '^::ffff:([0-9]+[.][0-9.]+)$', '\\1')) AS shown,
    -- The subjects that come out, with their addresses: the first ones, until there are enough rows.
    (
        SELECT (groupArray(subject), groupArray(addresses))
        FROM
        (
            SELECT
                subject,
                addresses,
                sum(addresses) OVER (ORDER BY addresses DESC, subject ROWS UNBOUNDED PRECEDING) AS rows_until
            FROM
            (
                SELECT subject, uniqExact(client_address) AS addresses
                FROM audit.access_log
                WHERE _partition_value.1 >= toDate32({since:DateTime64(9, 'UTC')} - INTERVAL 1 DAY)
                  AND time >= {since:DateTime64(9, 'UTC')}
                  AND time < {until:DateTime64(9, 'UTC')}
                  AND is_end
                  AND ({subject:String} = '' OR subject = {subject:String})
                  AND ({service:String} = '' OR service = {service:String})
                GROUP BY subject
            )
        )
        WHERE rows_until - addresses < {limit:UInt64}
    ) AS most
SELECT
    subject,
    shown AS client_address,
    transform(subject, most.1, most.2, toUInt64(0)) AS subject_addresses,
    count() AS requests,
    countIf(decision = 'allow') AS allowed,
    countIf(decision = 'deny') AS denied,
    uniqExact(service) AS services,
    uniqExact(user_agent_original) AS user_agents,
    min(time) AS first_seen,
    max(time) AS last_seen
FROM audit.access_log AS log
WHERE _partition_value.1 >= toDate32({since:DateTime64(9, 'UTC')} - INTERVAL 1 DAY)
  AND time >= {since:DateTime64(9, 'UTC')}
  AND time < {until:DateTime64(9, 'UTC')}
  AND is_end
  AND subject GLOBAL IN (SELECT arrayJoin(most.1))
  AND ({service:String} = '' OR service = {service:String})
GROUP BY subject, log.client_address
ORDER BY subject_addresses DESC, subject, requests DESC, client_address
LIMIT {limit:UInt64}
