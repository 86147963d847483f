-- Subjects that went through many different resources within one hour, as somebody who counts up ids does.
--
-- Question: Did anybody walk through records one by one?
-- Control: SOC 2 CC7.2 and CC7.3 (monitor for anomalies, evaluate events)
-- Control: PCI DSS 10.4.1 (daily review, automated)
-- Control: GDPR Art. 33 (what a breach touched)
-- Param min_resources = 100: Least number of different resources in one hour.
-- Param service = "": Only this service; empty: any.
-- Note: Hours begin on the clock's hour. Those without an identity are told apart by client address, which is
--     empty for everybody else.
-- Example: gateledger audit enumeration --min-resources 50 --since 7d
WITH
    -- Counted by a hash of 64 bits, whose key nobody knows before: so nobody can make paths that fall together.
    (SELECT (rand64(1), rand64(2))) AS key
SELECT
    toStartOfHour(time) AS hour,
    subject,
    if(subject IN ('', 'anonymous'), if(log.client_address = toIPv6('::'), '', replaceRegexpOne(
        toString(log.client_address), '^::ffff:([0-9]+[.][0-9.]+)$', '\\1')), '') AS client_address,
    uniqExact(bitXor(sipHash64Keyed(key, log.url_path), xxh3(service))) AS resources,
    uniqExact(xxh3(service)) AS services,
    count() AS requests,
    countIf(decision = 'allow') AS allowed,
    countIf(decision = 'deny') AS denied,
    countIf(http_response_status_code = 404) AS not_found,
    min(time) AS first_seen,
    max(time) AS last_seen,
    argMin(url_path, time) AS first_url_path,
    argMax(url_path, time) AS last_url_path
FROM audit.access_log AS log
WHERE _partition_value.1 >= toDate32({since:DateTime64(9, 'UTC')} - INTERVAL 1 DAY)
  AND time >= {since:DateTime64(9, 'UTC')}
  AND time < {until:DateTime64(9, 'UTC')}
  AND is_end
  AND ({service:String} = '' OR service = {service:String})
  -- Whoever made fewer requests in that hour cannot have met so many resources.
  AND xxh3(toStartOfHour(time), subject) GLOBAL IN (
      SELECT xxh3(toStartOfHour(time), subject) AS mark
      FROM audit.access_log
      WHERE _partition_value.1 >= toDate32({since:DateTime64(9, 'UTC')} - INTERVAL 1 DAY)
        AND time >= {since:DateTime64(9, 'UTC')}
        AND time < {until:DateTime64(9, 'UTC')}
        AND is_end
        AND ({service:String} = '' OR service = {service:String})
      GROUP BY mark
      HAVING count() >= {min_resources:UInt32}
  )
GROUP BY hour, subject, client_address
HAVING resources >= {min_resources:UInt32}
ORDER BY resources DESC, hour DESC, subject, client_address
LIMIT {limit:UInt64}
