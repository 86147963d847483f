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
    if({depth:UInt8} = 0, log.url_path, arrayStringConcat(
        arraySlice(splitByChar('/', log.url_path), 1, {depth:UInt8} + 1), '/')) AS path,
    -- Stands for subject and resource in the sets below: three texts would take thrice the time. A collision of
    -- 128 bits, which would hide an access, takes 2^64 tries to find.
    reinterpretAsUInt128(sipHash128(subject, service, path)) AS pair,
    -- A day of slack for clocks that disagree; see docs/audit.md.
    {since:DateTime64(9, 'UTC')} - INTERVAL 1 DAY AS received_from,
    if({history_days:UInt16} = 0, toDateTime64(0, 9, 'UTC'),
        {since:DateTime64(9, 'UTC')} - toIntervalDay({history_days:UInt16})) AS history_from
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
WHERE received_at >= received_from
  AND time >= {since:DateTime64(9, 'UTC')}
  AND time < {until:DateTime64(9, 'UTC')}
  AND is_end
  AND decision IN ('allow', 'fail_open')
  AND ({service:String} = '' OR service = {service:String})
  -- First the newest pairs alone, then what there is to say of them: memory for the details of few.
  AND pair GLOBAL IN (
      SELECT pair
      FROM audit.access_log AS log
      WHERE received_at >= received_from
        AND time >= {since:DateTime64(9, 'UTC')}
        AND time < {until:DateTime64(9, 'UTC')}
        AND is_end
        AND decision IN ('allow', 'fail_open')
        AND ({service:String} = '' OR service = {service:String})
        -- The past is narrowed to what the window holds, so that memory follows the window and not the history.
        AND pair GLOBAL NOT IN (
            SELECT pair
            FROM audit.access_log AS log
            WHERE received_at >= history_from - INTERVAL 1 DAY
              AND time >= history_from
              AND time < {since:DateTime64(9, 'UTC')}
              AND is_end
              AND decision IN ('allow', 'fail_open')
              AND pair GLOBAL IN (
                  SELECT pair
                  FROM audit.access_log AS log
                  WHERE received_at >= received_from
                    AND time >= {since:DateTime64(9, 'UTC')}
                    AND time < {until:DateTime64(9, 'UTC')}
                    AND is_end
                    AND decision IN ('allow', 'fail_open')
                    AND ({service:String} = '' OR service = {service:String})
              )
        )
      GROUP BY pair
      ORDER BY min(time) DESC, pair
      LIMIT {limit:UInt64}
  )
GROUP BY subject, service, path
ORDER BY first_seen DESC, subject, service, url_path
LIMIT {limit:UInt64}
