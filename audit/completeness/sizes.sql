-- How many decisions or records, whichever are more, began in each hour.
SELECT hour, max(amount) AS amount
FROM
(
    SELECT toStartOfHour(time) AS hour, count() AS amount
    FROM audit.decision_log
    WHERE received_at >= {since:DateTime64(9, 'UTC')} - INTERVAL 1 HOUR
      AND time >= {since:DateTime64(9, 'UTC')}
      AND time < {until:DateTime64(9, 'UTC')}
    GROUP BY hour
    UNION ALL
    SELECT toStartOfHour(time) AS hour, count() AS amount
    FROM audit.access_log
    WHERE received_at >= {since:DateTime64(9, 'UTC')} - INTERVAL 1 HOUR
      AND time >= {since:DateTime64(9, 'UTC')}
      AND time < {until:DateTime64(9, 'UTC')}
    GROUP BY hour
)
GROUP BY hour
