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
    if(guarded, cleaned, said_resource) AS resource,
    said['rule'] AS rule,
    least(toUInt64OrZero(said['rule_line']), 4294967295) AS rule_line,
    said['policy_version'] AS policy_version,
    said['config_version'] AS config_version,
    least(toUInt64OrZero(said['decide_us']), 4294967295) AS decide_us,
    JSONExtract(about, 'batch', 'Array(String)')[which] AS batch,
    row_number - JSONExtract(about, 'first', 'Array(UInt64)')[which] AS batch_row
FROM
(
    -- Redaction as in 0004_entries.sql, by the same rules word for word; a test holds the two equal.
    WITH
        JSONExtractString(getSetting('log_comment'), 'redact') AS more_names,
        -- A parameter with a name like these.
        concat(
            '(?:[^=&;?/,:\\s"\'(){}]*(?:token|secret|passw|passphrase|pass.?code|passkey|(?:api|access|private|subscription|shared|account|storage|license|master|encryption|signing|auth|client|host|function|user).?key|signature|credential|authori[sz]ation|authenti|assertion|session|sess.?id|cookie|jwt|saml(?:re|art)|hmac|bearer|ticket|pwd',
            more_names,
            ')[^=&;?/,:\\s"\'(){}]*|(?:[^=&;?/,:\\s"\'(){}]*[._$\\[\\]-])?(?:auth|otp|totp|pass|pin|pw|sas|sig|mfa)(?:[._$\\[\\]-][^=&;?/,:\\s"\'(){}]*)?|code|key|sid)') AS secret_name,
        -- A value like these, whatever its name.
        '(?:eyJ[A-Za-z0-9_-]{4,}\\.[A-Za-z0-9_.-]+|(?i:bearer|basic|digest|negotiate)[\\s:+]+[A-Za-z0-9._~+/=-]*[A-Z0-9=._~+/][A-Za-z0-9._~+/=-]{4,}|(?:AKIA|ASIA)[0-9A-Z]{12,}|gh[pousr]_[A-Za-z0-9]{16,}|github_pat_\\w{16,}|glpat-[\\w-]{16,}|xox[a-z]-[\\w-]{8,}|[rs]k_(?:live|test)_\\w{8,}|AIza[\\w-]{30,}|ya29\\.[\\w-]{8,}|-----BEGIN|(?:^|[/&\\s])[^/\\s:@=&]*:[^/\\s@]+@)' AS secret_value,
        concat(
            '(?i)(?:^|[=:#|&;?/,\\s"\'(\\[{])', secret_name, '(?:["\']\\s*[:=]\\s*["\'\\[{]?[^\\s"\'&;,\\]}]|\\]?=[ \\t]*["\']?[^\\s"\'&;])|(?-i:',
            secret_value, ')') AS secret,
        -- Each piece, and the piece hidden from such a name on, to its end: token=a;b.
        arrayMap(piece -> (piece, replaceRegexpOne(piece, concat('(?is)^((?:.*?;)?', secret_name, '=).+$'), '\\1REDACTED')), splitByChar('/', said_resource))
            AS named,
        -- With what is left to judge of it.
        arrayMap(pair -> (pair.2, if(pair.1 = pair.2, pair.1, substring(pair.2, 1, length(pair.2) - 8))), named) AS judged
    SELECT
        *,
        -- First the marks without which nothing matches (a sum: OR would copy the texts for each next one), then all
        -- of the rules at once.
        if(position(said_resource, '=') + position(said_resource, '%') + position(said_resource, '"') + position(said_resource, '\'')
                + position(said_resource, '@') + multiSearchAny(said_resource, ['eyJ', 'earer', 'EARER', 'asic', 'ASIC', 'igest', 'IGEST', 'egotiate', 'EGOTIATE', 'AKIA', 'ASIA',
                    'ghp_', 'gho_', 'ghu_', 'ghs_', 'ghr_', 'github_pat_', 'glpat-', 'xox', 'k_live_', 'k_test_', 'AIza', 'ya29.',
                    '-----BEGIN']) > 0,
            match(
                if(position(said_resource, '%') = 0,
                    said_resource,
                    toValidUTF8(concat(said_resource, '\n', decodeURLFormComponent(said_resource), '\n', decodeURLFormComponent(decodeURLFormComponent(said_resource))))),
                concat('(?m)', secret)),
            0) AS guarded,
        if(guarded,
            arrayStringConcat(arrayMap(
                pair -> multiIf(
                    NOT match(
                        toValidUTF8(concat(pair.2, '\n', decodeURLFormComponent(pair.2), '\n', decodeURLFormComponent(decodeURLFormComponent(pair.2)))),
                        concat('(?m)', secret)), pair.1,
                    position(pair.1, '=') = 0 OR match(
                        toValidUTF8(concat(substring(pair.1, 1, position(pair.1, '=') - 1), '\n',
                            decodeURLFormComponent(substring(pair.1, 1, position(pair.1, '=') - 1)), '\n',
                            decodeURLFormComponent(decodeURLFormComponent(substring(pair.1, 1, position(pair.1, '=') - 1))))),
                        concat('(?m)', secret)), 'REDACTED',
                    concat(substring(pair.1, 1, position(pair.1, '=')), 'REDACTED')),
                judged), '/'),
            '') AS cleaned
    FROM
    (
    SELECT
        rowNumberInAllBlocks() AS row_number,
        getSetting('log_comment') AS about,
        arrayLastIndex(first -> first <= row_number, JSONExtract(about, 'first', 'Array(UInt64)')) AS which,
        mapApply((key, value) -> (key, value.string_value), metadata.fields) AS said,
        said['resource'] AS said_resource,
        request_id AS sent_request_id,
        time_ns
    FROM audit.decisions
    )
)
WHERE NOT JSONExtractBool(getSetting('log_comment'), 'trial');
