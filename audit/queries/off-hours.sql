-- Subjects that came outside working hours, with the share of their requests that did.
--
-- Question: Who works at night or on days off, and is that usual for them?
-- Control: SOC 2 CC7.2 (monitor for anomalies)
-- Control: HIPAA 164.308(a)(1)(ii)(D) (regularly review access reports)
-- Param subject = "": Only this subject; empty: all that were identified.
-- Param service = "": Only this service; empty: any.
-- Param timezone = $timezone: Time zone in which hours and days are judged, e.g. Europe/Berlin.
-- Param from_hour = 8 in 0..23: First working hour, 0 to 23.
-- Param to_hour = 18 in 0..24: First hour after work, 0 to 24; less than from_hour: work goes over midnight.
-- Param workdays = 1,2,3,4,5 in 1..7: Working days, 1 is Monday.
-- Note: A share near 1 is a machine or a night shift; a small one is a person at an odd hour.
-- Note: last_local is the newest such request on the clock of the time zone.
-- Example: gateledger audit off-hours --since 30d --timezone Europe/Berlin
WITH
    toTimeZone(time, {timezone:String}) AS local,
    toHour(local) AS hour,
    if(
        {from_hour:UInt8} <= {to_hour:UInt8},
        hour >= {from_hour:UInt8} AND hour < {to_hour:UInt8},
        hour >= {from_hour:UInt8} OR hour < {to_hour:UInt8}
    ) AND has({workdays:Array(UInt8)}, toDayOfWeek(local)) AS working
SELECT
    subject,
    service,
    countIf(NOT working) AS off_hours_requests,
    count() AS requests,
    off_hours_requests / requests AS share,
    countIf(NOT working AND decision = 'allow') AS allowed,
    countIf(NOT working AND decision = 'deny') AS denied,
    uniqExactIf(xxh3(url_path), NOT working) AS resources,
    minIf(time, NOT working) AS first_seen,
    maxIf(time, NOT working) AS last_seen,
    formatDateTime(toTimeZone(last_seen, {timezone:String}), '%a %Y-%m-%d %H:%i') AS last_local
FROM audit.access_log
WHERE _partition_value.1 >= toDate32({since:DateTime64(9, 'UTC')} - INTERVAL 1 DAY)
  AND time >= {since:DateTime64(9, 'UTC')}
  AND time < {until:DateTime64(9, 'UTC')}
  AND is_end
  AND if({subject:String} = '', subject NOT IN ('', 'anonymous'), subject = {subject:String})
  AND ({service:String} = '' OR service = {service:String})
GROUP BY subject, service
HAVING off_hours_requests > 0
ORDER BY off_hours_requests DESC, subject, service
LIMIT {limit:UInt64}
