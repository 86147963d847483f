SELECT
    policy_version,
    config_version,
    min(time) AS first_seen,
    max(time) AS last_seen,
    count() AS requests,
    countIf(decision = 'allow') AS allowed,
    countIf(decision = 'deny') AS denied,
    countIf(decision = 'error') AS errors,
    countIf(decision IN ('fail_open', 'not_evaluated')) AS undecided,
    uniqExact(envoy_node) AS envoy_nodes,
    policy_version GLOBAL IN (SELECT policy_version FROM audit.policies) AS text_stored
FROM audit.access_log
WHERE received_at >= {since:DateTime64(9, 'UTC')} - INTERVAL 1 DAY
  AND time >= {since:DateTime64(9, 'UTC')}
  AND time < {until:DateTime64(9, 'UTC')}
  AND is_end
  AND policy_version != ''
GROUP BY policy_version, config_version
ORDER BY first_seen DESC, policy_version, config_version
LIMIT {limit:UInt64}
