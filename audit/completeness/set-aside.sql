-- Entries that could not be read, by the minute in which they came: they are in quarantine, not in audit.access_log.
SELECT envoy_node, toStartOfMinute(received_at) AS minute, sum(greatest(entries, 1)) AS entries
FROM audit.unparsed
WHERE received_at >= {since:DateTime64(9, 'UTC')}
GROUP BY envoy_node, minute
