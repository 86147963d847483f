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
    uniqExactIf(url_path, NOT working) AS resources,
    minIf(time, NOT working) AS first_seen,
    maxIf(time, NOT working) AS last_seen,
    formatDateTime(toTimeZone(last_seen, {timezone:String}), '%a %Y-%m-%d %H:%i') AS last_local
FROM audit.access_log
WHERE received_at >= {since:DateTime64(9, 'UTC')} - INTERVAL 1 DAY
  AND time >= {since:DateTime64(9, 'UTC')}
  AND time < {until:DateTime64(9, 'UTC')}
  AND is_end
  AND if({subject:String} = '', subject NOT IN ('', 'anonymous'), subject = {subject:String})
  AND ({service:String} = '' OR service = {service:String})
GROUP BY subject, service
HAVING off_hours_requests > 0
ORDER BY off_hours_requests DESC, subject, service
LIMIT {limit:UInt64}
