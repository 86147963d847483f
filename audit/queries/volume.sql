-- Subjects that moved far more bytes than in their own past: the window against equally long ones before it.
--
-- Question: Did anybody take out much more data than they usually do?
-- Control: SOC 2 CC7.2 (monitor for anomalies)
-- Control: GDPR Art. 33 (what a breach touched)
-- Param periods = 7: How many windows of the same length before --since make the past.
-- Param min_ratio = 3: Least bytes against the past mean; windows without traffic count as zero.
-- Param min_bytes = 1048576: Least bytes in the window.
-- Param service = "": Only this service; empty: any.
-- Note: bytes are those of requests and responses together. ratio is empty for a subject without a past.
-- Example: gateledger audit volume --since 24h --periods 14
WITH
    toUnixTimestamp64Nano({since:DateTime64(9, 'UTC')}) AS since_ns,
    greatest(1, toUnixTimestamp64Nano({until:DateTime64(9, 'UTC')}) - since_ns) AS window_ns,
    -- In 128 bits: a long window times many periods would overflow, and must not reach before 1970.
    greatest(0, toInt128(since_ns) - toInt128(window_ns) * {periods:UInt16}) AS past_from_ns,
    fromUnixTimestamp64Nano(toInt64(past_from_ns), 'UTC') AS past_from
SELECT
    subject,
    sumIf(moved, period < 0) AS bytes,
    sumIf(moved_in, period < 0) AS request_bytes,
    sumIf(moved_out, period < 0) AS response_bytes,
    sumIf(moments, period < 0) AS requests,
    sumIf(moved, period >= 0) / greatest(1, {periods:UInt16}) AS past_mean_bytes,
    maxIf(moved, period >= 0) AS past_max_bytes,
    countIf(period >= 0) AS past_periods,
    if(past_mean_bytes = 0, NULL, bytes / past_mean_bytes) AS ratio
FROM
(
    SELECT
        subject,
        -- -1 is the window itself, 0 the period just before it.
        if(time >= {since:DateTime64(9, 'UTC')},
            -1, intDiv(since_ns - toUnixTimestamp64Nano(time) - 1, window_ns)) AS period,
        sum(log.request_bytes) AS moved_in,
        sum(log.response_bytes) AS moved_out,
        moved_in + moved_out AS moved,
        count() AS moments
    FROM audit.access_log AS log
    WHERE _partition_value.1 >= toDate32(past_from - INTERVAL 1 DAY)
      AND time >= past_from
      AND time < {until:DateTime64(9, 'UTC')}
      AND is_end
      AND ({service:String} = '' OR service = {service:String})
    GROUP BY subject, period
)
GROUP BY subject
HAVING bytes >= greatest(1, {min_bytes:UInt64}) AND bytes >= {min_ratio:Float64} * past_mean_bytes
ORDER BY ratio DESC NULLS FIRST, bytes DESC, subject
LIMIT {limit:UInt64}
