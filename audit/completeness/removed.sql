-- Up to when records were removed by retention; NULL: never.
SELECT maxOrNull(last_received_at) AS last
FROM audit.removals
WHERE action = 'dropped' AND table_name IN ('access_log', 'decision_log')
