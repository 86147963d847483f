-- extauthz's own journal of decisions: rows of audit.decision_log, by the way that entries take (0004).
--
--   audit.decisions -(store_decisions)-> audit.decision_log
--      Null                                  MergeTree

ALTER TABLE audit.decision_log
    ADD COLUMN IF NOT EXISTS envoy_node LowCardinality(String) COMMENT 'Node id of the Envoy that asked, as its request metadata x-gateledger-node says. Absent: empty' AFTER node;

CREATE TABLE IF NOT EXISTS audit.decisions
(
    metadata   Tuple(fields Map(String, Tuple(string_value String))),
    request_id String,
    time_ns    UInt64
)
ENGINE = Null
COMMENT 'Where journalled decisions land; stores nothing';

-- log_comment is the one of 0004_entries.sql; log_name is the host of the extauthz that decided.
CREATE MATERIALIZED VIEW IF NOT EXISTS audit.store_decisions TO audit.decision_log AS
SELECT
    fromUnixTimestamp64Nano(toInt64(least(time_ns, 4294967294000000000)), 'UTC') AS time,
    fromUnixTimestamp64Nano(JSONExtract(about, 'received_at', 'Array(Int64)')[which], 'UTC') AS received_at,
    JSONExtract(about, 'log_name', 'Array(String)')[which] AS node,
    JSONExtract(about, 'node', 'Array(String)')[which] AS envoy_node,
    said['decision_id'] AS decision_id,
    toValidUTF8(sent_request_id) AS request_id,
    said['effect'] AS effect,
    said['reason_code'] AS reason_code,
    said['subject'] AS subject,
    arrayFilter(role -> role != '', splitByChar(',', said['roles'])) AS subject_roles,
    said['service'] AS service,
    said['action'] AS action,
    -- Redacted as 0004_entries.sql does it, each part of the path by itself; most have nothing to look at.
    if(multiSearchAny(said['resource'], ['=', '%', 'eyJ', 'AKIA', 'ASIA', 'gh', 'glpat-', 'xox', '_live_', '_test_', 'AIza', 'ya29.']),
        arrayStringConcat(arrayMap(
            part -> if(
                match(
                    concat(part, '\n', decodeURLFormComponent(part), '\n', decodeURLFormComponent(decodeURLFormComponent(part))),
                    '(?i:token|secret|passw|passphrase|pass.?code|key|signature|credential|authori[sz]ation|authenti|assertion|session|cookie|jwt|saml|hmac|bearer|ticket|auth|otp|pin|pw|sas|sig|mfa|code|pass|sid)[^=]*=|eyJ[A-Za-z0-9_-]{4,}\\.|(?:AKIA|ASIA)[0-9A-Z]{12}|gh[pousr]_|github_pat_|glpat-|xox[a-z]-|[rs]k_(?:live|test)_|AIza|ya29\\.|(?i:bearer|basic)[ :+]'),
                'REDACTED', part),
            splitByChar('/', said['resource'])), '/'),
        said['resource']) AS resource,
    said['rule'] AS rule,
    least(toUInt64OrZero(said['rule_line']), 4294967295) AS rule_line,
    said['policy_version'] AS policy_version,
    said['config_version'] AS config_version,
    least(toUInt64OrZero(said['decide_us']), 4294967295) AS decide_us,
    JSONExtract(about, 'batch', 'Array(String)')[which] AS batch,
    row_number - JSONExtract(about, 'first', 'Array(UInt64)')[which] AS batch_row
FROM
(
    SELECT
        rowNumberInAllBlocks() AS row_number,
        getSetting('log_comment') AS about,
        arrayLastIndex(first -> first <= row_number, JSONExtract(about, 'first', 'Array(UInt64)')) AS which,
        mapApply((key, value) -> (key, value.string_value), metadata.fields) AS said,
        request_id AS sent_request_id,
        time_ns
    FROM audit.decisions
)
WHERE NOT JSONExtractBool(getSetting('log_comment'), 'trial');
