-- audit.entries: where Envoy's entries land. The writer inserts with FORMAT ProtobufList and entry.proto,
-- HTTP and TCP entries alike (what an entry does not have is empty here). One INSERT brings the entries of
-- one batch or of several, one behind the other, and says in the setting log_comment, as JSON, at which row
-- each batch begins, and what its rows share: {"kind": "http" | "tcp", "first": [0, ...], "batch": [id, ...],
-- "node": [text, ...], "log_name": [text, ...], "received_at": [unix nanoseconds, ...]}. Where what is missing of
-- a batch is sent again, "number": [first batch_row, ...] gives it the numbers that it has. "redact" are further
-- names of secrets (ledger.redact_names), each behind a '|': the end of an alternation.
--
-- The columns are flat, a field of a message has its dotted path for a name: with nested tuples the analysis of
-- one INSERT took 50 to 80 ms, now it takes 30.
--
--   audit.entries -(shape_entries)-> audit.entries_shaped -(store_entries)-> audit.access_log
--      Null                               Null                               MergeTree
--
-- shape_entries is all that knows how a row comes out of an entry. store_entries passes every row on,
-- unless log_comment says "trial": true: so the writer finds out which entry of a batch cannot be read,
-- by the very code that would store it, and stores nothing.

CREATE TABLE IF NOT EXISTS audit.entries
(
    `common_properties.downstream_remote_address.socket_address.address` String,
    `common_properties.tls_properties.tls_version` Int32,
    `common_properties.tls_properties.peer_certificate_properties.subject_alt_name` Array(Tuple(uri String, dns String)),
    `common_properties.start_time.seconds` Int64,
    `common_properties.start_time.nanos` Int32,
    `common_properties.time_to_last_downstream_tx_byte.seconds` Int64,
    `common_properties.time_to_last_downstream_tx_byte.nanos` Int32,
    `common_properties.upstream_remote_address.socket_address.address` String,
    `common_properties.upstream_remote_address.socket_address.port_value` UInt32,
    `common_properties.upstream_remote_address.pipe.path` String,
    `common_properties.upstream_cluster` String,
    `common_properties.response_flags` String,
    `common_properties.metadata.filter_metadata` Map(String, Tuple(fields Map(String, Tuple(number_value Float64, string_value String)))),
    `common_properties.route_name` String,
    `common_properties.downstream_direct_remote_address.socket_address.address` String,
    `common_properties.custom_tags` Map(String, String),
    `common_properties.duration.seconds` Int64,
    `common_properties.duration.nanos` Int32,
    `common_properties.stream_id` String,
    `common_properties.intermediate_log_entry` Bool,
    `common_properties.access_log_type` Int32,
    protocol_version Int32,
    `request.request_method` Int32,
    `request.scheme` String,
    `request.authority` String,
    `request.path` String,
    `request.user_agent` String,
    `request.request_id` String,
    `request.original_path` String,
    `request.request_body_bytes` UInt64,
    `request.request_headers` Map(String, String),
    `response.response_code.value` UInt32,
    `response.response_body_bytes` UInt64,
    `response.response_code_details` String,
    `connection_properties.received_bytes` UInt64,
    `connection_properties.sent_bytes` UInt64
)
ENGINE = Null
COMMENT 'Where Envoy''s entries land; stores nothing';

CREATE TABLE IF NOT EXISTS audit.entries_shaped AS audit.access_log
ENGINE = Null
COMMENT 'Rows on their way from audit.entries to audit.access_log; stores nothing';

-- Steps, because every expression is analysed anew for each INSERT: the inner one reads each leaf once, the next one
-- hides secrets, the outer one says what the leaves mean.
CREATE MATERIALIZED VIEW IF NOT EXISTS audit.shape_entries TO audit.entries_shaped AS
WITH
    -- decision: the first that matches. A doubt never becomes an allow.
    multiIf(
        details IN ('ext_authz_error', 'ext_authz_invalid'), 'error',
        said['effect'] IN ('allow', 'deny'), said['effect'],
        (upstream_ip != '' OR upstream_pipe != '') AND said['decision_id'] = '', 'fail_open',
        'not_evaluated') AS outcome,
    -- Microseconds; a nonsensical or negative duration is 0.
    least(greatest(duration_seconds, 0), 9000000000) * 1000000 + greatest(intDiv(duration_nanos, 1000), 0) AS whole_us,
    least(greatest(last_byte_seconds, 0), 9000000000) * 1000000 + greatest(intDiv(last_byte_nanos, 1000), 0)
        AS last_byte_us,
    least(toUInt64OrZero(tags['authz_duration_us']), 4294967295) AS tagged_authz_us
SELECT
    -- Seconds beyond 2106 would leave the range of the sorting key's hour.
    fromUnixTimestamp64Nano(
        if(start_seconds BETWEEN 0 AND 4294967294, greatest(start_seconds * 1000000000 + start_nanos, 0), 0), 'UTC') AS time,
    fromUnixTimestamp64Nano(batch_received_at, 'UTC') AS received_at,
    -- What a client can choose is made valid UTF-8 (U+FFFD for what is not): it must not break readers.
    toValidUTF8(sent_request_id) AS request_id,
    -- Envoy gives an HTTP stream its request's id.
    if(sent_stream_id = sent_request_id AND sent_stream_id != '', '=', toValidUTF8(sent_stream_id)) AS own_stream_id,
    if(traceparent_id = '00000000000000000000000000000000', '', traceparent_id) AS trace_id,
    said['decision_id'] AS decision_id,
    batch_node AS envoy_node,
    batch_log_name AS log_name,
    if(said['service'] != '', said['service'], tags['service']) AS service,
    sent_route_name AS route_name,
    sent_upstream_cluster AS upstream_cluster,
    multiIf(
        upstream_pipe != '', upstream_pipe,
        upstream_ip = '', '',
        concat(if(position(upstream_ip, ':') > 0, concat('[', upstream_ip, ']'), upstream_ip), ':', toString(upstream_port)))
        AS upstream_address,
    said['subject'] AS subject,
    arrayFilter(role -> role != '', splitByChar(',', said['roles'])) AS subject_roles,
    said['auth_method'] AS auth_method,
    said['auth_issuer'] AS auth_issuer,
    -- Without a zone (fe80::1%eth0), which an IPv6 cannot hold.
    toIPv6OrDefault(splitByChar('%', downstream_ip)[1]) AS client_address,
    toIPv6OrDefault(splitByChar('%', downstream_direct_ip)[1]) AS client_direct_address,
    -- Envoy's enum lacks many methods, so its bootstrap also logs the header.
    if(method_header != '',
        toValidUTF8(method_header),
        transform(method, [1, 2, 3, 4, 5, 6, 7, 8, 9],
            ['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'CONNECT', 'OPTIONS', 'TRACE', 'PATCH'], '')) AS http_request_method,
    toValidUTF8(scheme) AS url_scheme,
    if(guarded, cleaned[5], host) AS server_address,
    if(guarded,
        translate(if(said_resource = '', cleaned[2], cleaned[4]), '\x1F', '/'),
        if(said_resource = '', bare_path, said_resource)) AS url_path,
    if(guarded, translate(cleaned[3], '\x1F', '/'), upstream_path) AS url_path_upstream,
    if(guarded, translate(cleaned[1], '\x1F', '&'), query) AS url_query,
    if(guarded, translate(cleaned[6], '\x1F', ' '), agent) AS user_agent_original,
    if(kind = 'tcp', 'tcp',
        transform(protocol, [0, 1, 2, 3, 4], ['', 'http/1.0', 'http/1.1', 'http/2', 'http/3'],
            concat('unknown:', toString(protocol)))) AS network_protocol,
    transform(sent_tls_version, [0, 1, 2, 3, 4], ['', 'TLSv1', 'TLSv1.1', 'TLSv1.2', 'TLSv1.3'],
        concat('unknown:', toString(sent_tls_version))) AS tls_version,
    -- Envoy logs URI names; DNS names come by a custom tag.
    if(empty(san_uris) AND empty(san_dns) AND dns_tag IN ('', '-'), '', toValidUTF8(arrayStringConcat(
        arrayFilter(san -> san NOT IN ('', '-'), arrayConcat(san_uris, splitByChar(',', dns_tag), san_dns)), ',')))
        AS tls_peer_san,
    least(status, 65535) AS http_response_status_code,
    toValidUTF8(details) AS response_code_details,
    -- The message as it came: a number of a flag and 1, again and again. Of most requests it is empty, and reading
    -- 28 columns of nothing would cost as much as the rest of a bare entry. UAEX is a message of its own in it.
    if(flags = '', [], arrayFilter(
        (name, mark) -> position(replaceOne(flags, unhex('6A020801'), unhex('6A02')), unhex(mark)) > 0,
        [
            'LH', 'UH', 'UT', 'LR', 'UR', 'UF', 'UC', 'UO', 'NR', 'DI', 'FI', 'RL', 'UAEX', 'RLSE', 'DC',
            'URX', 'SI', 'IH', 'DPE', 'UMSDR', 'RFCF', 'NFCF', 'DT', 'UPE', 'NC', 'OM', 'DF', 'DR'],
        [
            '0801', '1001', '1801', '2001', '2801', '3001', '3801', '4001',
            '4801', '5001', '5801', '6001', '6A02', '7001', '7801',
            '800101', '880101', '900101', '980101', 'A00101', 'A80101',
            'B00101', 'B80101', 'C00101', 'C80101', 'D00101', 'D80101',
            'E00101']
        )) AS response_flags,
    request_body + connection_received AS request_bytes,
    response_body + connection_sent AS response_bytes,
    if(whole_us != 0, whole_us, last_byte_us) AS duration_us,
    -- Envoy adds ext_authz_duration (milliseconds) to the metadata of an OK answer.
    if(tagged_authz_us != 0, tagged_authz_us, accurateCastOrDefault(round(authz_ms * 1000), 'UInt32')) AS authz_duration_us,
    least(toUInt64OrZero(said['decide_us']), 4294967295) AS decide_us,
    outcome AS decision,
    multiIf(
        details = 'ext_authz_invalid', 'authz_invalid_response',
        details = 'ext_authz_error' AND said['reason_code'] = '', 'authz_timeout_or_unreachable',
        outcome IN ('fail_open', 'not_evaluated'), outcome,
        said['reason_code']) AS reason_code,
    if(guarded, translate(cleaned[7], '\x1F', ' '), said_reason) AS reason,
    said['rule'] AS rule,
    least(toUInt64OrZero(said['rule_line']), 4294967295) AS rule_line,
    said['policy_version'] AS policy_version,
    said['config_version'] AS config_version,
    said['action'] AS action,
    if(guarded, translate(cleaned[4], '\x1F', '/'), said_resource) AS resource,
    -- Envoy's own names. An end that is not named (older Envoys name none) stays empty.
    if(type = 0 AND intermediate, 'intermediate',
        transform(type, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14],
            ['', 'TcpUpstreamConnected', 'TcpPeriodic', 'TcpConnectionEnd', 'DownstreamStart', 'DownstreamPeriodic',
                'DownstreamEnd', 'UpstreamPoolReady', 'UpstreamPeriodic', 'UpstreamEnd',
                'DownstreamTunnelSuccessfullyEstablished', 'UdpTunnelUpstreamConnected', 'UdpPeriodic', 'UdpSessionEnd',
                'TcpConnectionStart'],
            concat('unknown:', toString(type)))) AS entry_type,
    batch_id AS batch,
    row_number - first_row + first_number AS batch_row
FROM
(
    -- Redaction; the rules stand in docs/design/ledger.md. Most rows pay for the look (guarded) alone. Of the others
    -- all texts that a client can choose are cut into pieces (at & of a query, / of a path, blanks), each piece judged.
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
        -- A value stays with its name where a text is cut at blanks: "password": "x".
        '(=|["\']\\s*:)\\s+' AS blank_before_value,
        splitByChar('\x1F', concat(
            translate(query, '&\x1E\x1F', '\x1F  '), '\x1F\x1E\x1F',
            translate(bare_path, '/\x1E\x1F', '\x1F  '), '\x1F\x1E\x1F',
            translate(upstream_path, '/\x1E\x1F', '\x1F  '), '\x1F\x1E\x1F',
            translate(said_resource, '/\x1E\x1F', '\x1F  '), '\x1F\x1E\x1F',
            translate(host, '\x1E\x1F', '  '), '\x1F\x1E\x1F',
            translate(replaceRegexpAll(replaceRegexpAll(agent, secret_value, 'REDACTED'), blank_before_value, '\\1'), ' \x1E\x1F', '\x1F  '), '\x1F\x1E\x1F',
            translate(replaceRegexpAll(replaceRegexpAll(said_reason, secret_value, 'REDACTED'), blank_before_value, '\\1'), ' \x1E\x1F', '\x1F  '))) AS pieces,
        -- Each piece, and the piece hidden from such a name on, to its end: token=a;b.
        arrayMap(piece -> (piece, replaceRegexpOne(piece, concat('(?is)^((?:.*?;)?', secret_name, '=).+$'), '\\1REDACTED')), pieces)
            AS named,
        -- With what is left to judge of it.
        arrayMap(pair -> (pair.2, if(pair.1 = pair.2, pair.1, substring(pair.2, 1, length(pair.2) - 8))), named) AS judged
    SELECT
        *,
        -- First the marks without which nothing matches (a sum: OR would copy the texts for each next one), then all
        -- of the rules at once.
        if(position(texts, '=') + position(texts, '%') + position(texts, '"') + position(texts, '\'')
                + position(texts, '@') + multiSearchAny(texts, ['eyJ', 'earer', 'EARER', 'asic', 'ASIC', 'igest', 'IGEST', 'egotiate', 'EGOTIATE', 'AKIA', 'ASIA',
                    'ghp_', 'gho_', 'ghu_', 'ghs_', 'ghr_', 'github_pat_', 'glpat-', 'xox', 'k_live_', 'k_test_', 'AIza', 'ya29.',
                    '-----BEGIN']) > 0,
            match(
                if(position(texts, '%') = 0,
                    texts,
                    toValidUTF8(concat(texts, '\n', decodeURLFormComponent(texts), '\n', decodeURLFormComponent(decodeURLFormComponent(texts))))),
                concat('(?m)', secret)),
            0) AS guarded,
        if(guarded,
            splitByString('\x1F\x1E\x1F', arrayStringConcat(arrayMap(
                -- Decoded once and twice, so that a secret hides behind no escape and in no address within an address.
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
                judged), '\x1F')),
            []) AS cleaned
    FROM
    (
    SELECT
        rowNumberInAllBlocks() AS row_number,
        JSONExtractString(getSetting('log_comment'), 'kind') AS kind,
        arrayLastIndex(
            first -> first <= row_number, JSONExtract(getSetting('log_comment'), 'first', 'Array(UInt64)')) AS which,
        JSONExtract(getSetting('log_comment'), 'first', 'Array(UInt64)')[which] AS first_row,
        JSONExtract(getSetting('log_comment'), 'number', 'Array(UInt64)')[which] AS first_number,
        JSONExtract(getSetting('log_comment'), 'batch', 'Array(String)')[which] AS batch_id,
        JSONExtract(getSetting('log_comment'), 'node', 'Array(String)')[which] AS batch_node,
        JSONExtract(getSetting('log_comment'), 'log_name', 'Array(String)')[which] AS batch_log_name,
        JSONExtract(getSetting('log_comment'), 'received_at', 'Array(Int64)')[which] AS batch_received_at,

        -- What extauthz said (CheckResponse.dynamic_metadata): strings, and one number of Envoy's own.
        `common_properties.metadata.filter_metadata`['envoy.filters.http.ext_authz'].fields AS fields,
        mapApply((key, value) -> (key, value.string_value), fields) AS said,
        said['resource'] AS said_resource,
        said['reason'] AS said_reason,
        fields['ext_authz_duration'].number_value AS authz_ms,

        `common_properties.custom_tags` AS tags,
        tags['peer_dns_san'] AS dns_tag,
        `common_properties.start_time.seconds` AS start_seconds,
        `common_properties.start_time.nanos` AS start_nanos,
        `common_properties.duration.seconds` AS duration_seconds,
        `common_properties.duration.nanos` AS duration_nanos,
        `common_properties.time_to_last_downstream_tx_byte.seconds` AS last_byte_seconds,
        `common_properties.time_to_last_downstream_tx_byte.nanos` AS last_byte_nanos,
        `common_properties.downstream_remote_address.socket_address.address` AS downstream_ip,
        `common_properties.downstream_direct_remote_address.socket_address.address` AS downstream_direct_ip,
        `common_properties.upstream_remote_address.socket_address.address` AS upstream_ip,
        `common_properties.upstream_remote_address.socket_address.port_value` AS upstream_port,
        `common_properties.upstream_remote_address.pipe.path` AS upstream_pipe,
        `common_properties.upstream_cluster` AS sent_upstream_cluster,
        `common_properties.route_name` AS sent_route_name,
        `common_properties.stream_id` AS sent_stream_id,
        `common_properties.intermediate_log_entry` AS intermediate,
        `common_properties.access_log_type` AS type,
        `common_properties.tls_properties.tls_version` AS sent_tls_version,
        `common_properties.tls_properties.peer_certificate_properties.subject_alt_name`.uri AS san_uris,
        `common_properties.tls_properties.peer_certificate_properties.subject_alt_name`.dns AS san_dns,
        `common_properties.response_flags` AS flags,

        protocol_version AS protocol,
        `request.request_method` AS method,
        `request.request_headers`[':method'] AS method_header,
        extract(
            `request.request_headers`['traceparent'],
            '^[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}') AS traceparent_id,
        `request.scheme` AS scheme,
        toValidUTF8(`request.authority`) AS host,
        -- Envoy keeps the path as received when it rewrites it.
        toValidUTF8(if(`request.original_path` != '', `request.original_path`, `request.path`)) AS received_path,
        cutQueryStringAndFragment(received_path) AS bare_path,
        queryString(received_path) AS query,
        cutQueryStringAndFragment(toValidUTF8(`request.path`)) AS upstream_path,
        toValidUTF8(`request.user_agent`) AS agent,
        -- All that a client can choose, for one look at it.
        concat(received_path, '\n', upstream_path, '\n', said_resource, '\n', host, '\n', agent, '\n', said_reason) AS texts,
        `request.request_id` AS sent_request_id,
        `request.request_body_bytes` AS request_body,
        `response.response_code.value` AS status,
        `response.response_body_bytes` AS response_body,
        `response.response_code_details` AS details,
        `connection_properties.received_bytes` AS connection_received,
        `connection_properties.sent_bytes` AS connection_sent
    FROM audit.entries
    )
);

CREATE MATERIALIZED VIEW IF NOT EXISTS audit.store_entries TO audit.access_log AS
SELECT *
FROM audit.entries_shaped
WHERE NOT JSONExtractBool(getSetting('log_comment'), 'trial');
