-- Subjects that reached a resource for the first time: never let through to it in the history before --since.
--
-- Question: Who began to use something that they never used before?
-- Control: SOC 2 CC6.2 and CC6.3 (access is authorised, role based, least privilege)
-- Control: SOC 2 CC7.2 (monitor for anomalies)
-- Control: HIPAA 164.308(a)(1)(ii)(D) (regularly review access reports)
-- Param service = "": Only this service; empty: any.
-- Param depth = 0: Take paths by their first so many segments, e.g. 1 makes /orders of /orders/7; 0: whole paths.
-- Param history_days = 90: How many days before --since count as the past; 0: everything that is kept.
-- Note: Only access counts (allow, fail_open), now and then: a refusal before does not make access old.
-- Example: gateledger audit new-access --since 24h --depth 1
WITH
    if({depth:UInt8} = 0, log.url_path, substringIndex(log.url_path, '/', {depth:UInt8} + 1)) AS path,
    -- Subject and resource in 64 bits, for three texts take thrice the time and memory. The quick hash only tells
    -- what may be of interest. The careful one has another key each time, so that nobody can make a path that falls
    -- together with one that was reached before; by chance one of ten million new pairs does so with one of ten million
    -- old ones, and is missed, in one of 200,000 answers. Subjects and services nobody makes up: they were verified.
    xxh3(subject, service, path) AS mark,
    (SELECT (rand64(1), rand64(2))) AS key,
    bitXor(sipHash64Keyed(key, path), xxh3(subject, service)) AS pair,
    -- A day of slack for clocks that disagree; see docs/audit.md.
    toDate32({since:DateTime64(9, 'UTC')} - INTERVAL 1 DAY) AS received_from,
    if({history_days:UInt16} = 0, toDateTime64(0, 9, 'UTC'),
        {since:DateTime64(9, 'UTC')} - toIntervalDay({history_days:UInt16})) AS history_from,
    -- The newest pairs come out first: so of a long window its end alone is looked at, its newest million and a half of rows,
    -- and the whole only if too few pairs are new there. Memory follows that, not window and history.
    -- Minutes are counted only from a day on that surely has as many rows behind it: days are counted without reading.
    (
        SELECT greatest({since:DateTime64(9, 'UTC')}, toDateTime64(max(day), 9, 'UTC') - INTERVAL 1 DAY)
        FROM
        (
            SELECT day, sum(if(day > {until:DateTime64(9, 'UTC')}, 0, rows)) OVER (ORDER BY day DESC) AS newer
            FROM (SELECT _partition_value.1 AS day, count() AS rows FROM audit.access_log GROUP BY day)
        )
        WHERE newer >= 2000000
    ) AS counted_from,
    (
        SELECT greatest({since:DateTime64(9, 'UTC')}, max(minute))
        FROM
        (
            SELECT
                toDateTime64(toStartOfMinute(time), 9, 'UTC') AS minute,
                sum(count()) OVER (ORDER BY minute DESC) AS newer
            FROM audit.access_log AS log
            WHERE _partition_value.1 >= toDate32(counted_from - INTERVAL 1 DAY)
              AND time >= counted_from
              AND time < {until:DateTime64(9, 'UTC')}
              AND is_end
            GROUP BY minute
        )
        WHERE newer >= 1500000
    ) AS end_from,
    (
        SELECT (groupArray(pair), min(first))
        FROM
        (
            SELECT pair, min(time) AS first
            FROM audit.access_log AS log
            WHERE _partition_value.1 >= toDate32(history_from - INTERVAL 1 DAY)
              AND time >= history_from
              AND time < {until:DateTime64(9, 'UTC')}
              AND (time < {since:DateTime64(9, 'UTC')} OR received_from <= _partition_value.1)
              AND is_end
              AND decision IN ('allow', 'fail_open')
              AND ({service:String} = '' OR service = {service:String})
              AND mark GLOBAL IN (
                  SELECT mark
                  FROM audit.access_log AS log
                  WHERE _partition_value.1 >= received_from
                    AND time >= end_from
                    AND time < {until:DateTime64(9, 'UTC')}
                    AND is_end
                    AND decision IN ('allow', 'fail_open')
                    AND ({service:String} = '' OR service = {service:String})
              )
            GROUP BY pair
            HAVING first >= end_from
            ORDER BY first DESC
            LIMIT {limit:UInt64} WITH TIES
        )
    ) AS newest,
    (
        SELECT (groupArray(pair), min(first))
        FROM
        (
            SELECT pair, min(time) AS first
            FROM audit.access_log AS log
            WHERE _partition_value.1 >= toDate32(history_from - INTERVAL 1 DAY)
              AND time >= history_from
              AND time < {until:DateTime64(9, 'UTC')}
              AND (time < {since:DateTime64(9, 'UTC')} OR received_from <= _partition_value.1)
              AND is_end
              AND decision IN ('allow', 'fail_open')
              AND ({service:String} = '' OR service = {service:String})
              AND mark GLOBAL IN (
                  SELECT mark
                  FROM audit.access_log AS log
                  WHERE _partition_value.1 >= received_from
                    AND time >= {since:DateTime64(9, 'UTC')}
                    AND time < {until:DateTime64(9, 'UTC')}
                    AND is_end
                    AND decision IN ('allow', 'fail_open')
                    AND ({service:String} = '' OR service = {service:String})
                    AND end_from > {since:DateTime64(9, 'UTC')}
                    AND length(newest.1) < {limit:UInt64}
              )
            GROUP BY pair
            HAVING first >= {since:DateTime64(9, 'UTC')}
            ORDER BY first DESC
            LIMIT {limit:UInt64} WITH TIES
        )
    ) AS all_new,
    if(length(newest.1) >= length(all_new.1), newest, all_new) AS new
SELECT
    subject,
    service,
    path AS url_path,
    min(time) AS first_seen,
    max(time) AS last_seen,
    count() AS requests,
    argMin(log.action, time) AS first_action,
    argMin(log.rule, time) AS first_rule,
    argMin(if(log.client_address = toIPv6('::'), '', replaceRegexpOne(
        toString(log.client_address), '^::ffff:([0-9]+[.][0-9.]+)$', '\\1')), time) AS first_client_address,
    argMin(log.decision_id, time) AS first_decision_id
FROM audit.access_log AS log
WHERE _partition_value.1 >= received_from
  -- Before the first of the new ones no row can be of interest.
  AND time >= greatest({since:DateTime64(9, 'UTC')}, new.2)
  AND time < {until:DateTime64(9, 'UTC')}
  AND is_end
  AND decision IN ('allow', 'fail_open')
  AND ({service:String} = '' OR service = {service:String})
  AND pair GLOBAL IN (SELECT arrayJoin(new.1))
GROUP BY subject, service, path
ORDER BY first_seen DESC, subject, service, url_path
LIMIT {limit:UInt64}
