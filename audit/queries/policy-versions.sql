-- The policy versions that decided, from when to when, and whether the ledger holds their text.
--
-- Question: Which policy was in force when, and when did it change?
-- Control: SOC 2 CC6.1 (the policy in force) and CC8.1 (changes are authorised and tested)
-- Note: A version whose text is not stored (text_stored false) cannot be shown to an auditor: look into it.
-- Note: config_version stands for what else decides: identity and mapping settings.
-- Example: gateledger audit policy-versions --since 90d
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
    uniqExact(xxh3(envoy_node)) AS envoy_nodes,
    toBool(policy_version GLOBAL IN (SELECT policy_version FROM audit.policies)) AS text_stored
FROM audit.access_log
WHERE _partition_value.1 >= toDate32({since:DateTime64(9, 'UTC')} - INTERVAL 1 DAY)
  AND time >= {since:DateTime64(9, 'UTC')}
  AND time < {until:DateTime64(9, 'UTC')}
  AND is_end
  AND policy_version != ''
GROUP BY policy_version, config_version
ORDER BY first_seen DESC, policy_version, config_version
LIMIT {limit:UInt64}
