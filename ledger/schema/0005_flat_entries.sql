-- audit.entries anew, as flat columns: a field of a message has its dotted path for a name. What comes in and
-- what comes out is as in 0004_entries.sql; one INSERT costs 30 ms of analysis where the nested tuples cost 50 to
-- 80, for every mention of a tuple's element was resolved through the whole tuple's type.
--
-- And log_comment may say "number": [first batch_row, ...] beside "first". A batch that is stored in part is
-- mended so: what is missing is sent again, with the numbers that it has.

ALTER TABLE audit.access_log
    COMMENT COLUMN IF EXISTS stream_id 'Envoy''s id of the stream or connection, where it is not the request_id. Empty: absent, or the same as request_id';

DROP VIEW IF EXISTS audit.shape_entries;

DROP TABLE IF EXISTS audit.entries;

CREATE TABLE IF NOT EXISTS audit.entries
(
    `common_properties.downstream_remote_address.socket_address.address` String,
    `common_properties.downstream_remote_address.socket_address.port_value` UInt32,
    `common_properties.downstream_remote_address.pipe.path` String,
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
    `common_properties.response_flags.failed_local_healthcheck` Bool,
    `common_properties.response_flags.no_healthy_upstream` Bool,
    `common_properties.response_flags.upstream_request_timeout` Bool,
    `common_properties.response_flags.local_reset` Bool,
    `common_properties.response_flags.upstream_remote_reset` Bool,
    `common_properties.response_flags.upstream_connection_failure` Bool,
    `common_properties.response_flags.upstream_connection_termination` Bool,
    `common_properties.response_flags.upstream_overflow` Bool,
    `common_properties.response_flags.no_route_found` Bool,
    `common_properties.response_flags.delay_injected` Bool,
    `common_properties.response_flags.fault_injected` Bool,
    `common_properties.response_flags.rate_limited` Bool,
    `common_properties.response_flags.unauthorized_details.reason` Int32,
    `common_properties.response_flags.rate_limit_service_error` Bool,
    `common_properties.response_flags.downstream_connection_termination` Bool,
    `common_properties.response_flags.upstream_retry_limit_exceeded` Bool,
    `common_properties.response_flags.stream_idle_timeout` Bool,
    `common_properties.response_flags.invalid_envoy_request_headers` Bool,
    `common_properties.response_flags.downstream_protocol_error` Bool,
    `common_properties.response_flags.upstream_max_stream_duration_reached` Bool,
    `common_properties.response_flags.response_from_cache_filter` Bool,
    `common_properties.response_flags.no_filter_config_found` Bool,
    `common_properties.response_flags.duration_timeout` Bool,
    `common_properties.response_flags.upstream_protocol_error` Bool,
    `common_properties.response_flags.no_cluster_found` Bool,
    `common_properties.response_flags.overload_manager` Bool,
    `common_properties.response_flags.dns_resolution_failure` Bool,
    `common_properties.response_flags.downstream_remote_reset` Bool,
    `common_properties.metadata.filter_metadata` Map(String, Tuple(fields Map(String, Tuple(number_value Float64, string_value String)))),
    `common_properties.route_name` String,
    `common_properties.downstream_direct_remote_address.socket_address.address` String,
    `common_properties.downstream_direct_remote_address.socket_address.port_value` UInt32,
    `common_properties.downstream_direct_remote_address.pipe.path` String,
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

-- Two steps, because every expression is analysed anew for each INSERT: the inner one reads each leaf once,
-- the outer one says what the leaves mean.
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
    -- Envoy gives an HTTP stream its request's id: seventeen bytes a row for nothing.
    if(sent_stream_id = sent_request_id, '', toValidUTF8(sent_stream_id)) AS stream_id,
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
    toValidUTF8(authority) AS server_address,
    if(said['resource'] != '', said['resource'], cutQueryStringAndFragment(received_path)) AS url_path,
    cutQueryStringAndFragment(toValidUTF8(path)) AS url_path_upstream,
    -- A parameter is redacted by its decoded name, or when its value looks like a JWT.
    arrayStringConcat(arrayMap(
        parameter -> if(
            position(parameter, '=') > 0 AND (
                match(
                    decodeURLFormComponent(extract(parameter, '^[^=]*')),
                    '(?i)token|secret|passw|passphrase|api.?key|private.?key|signature|credential|authori[sz]ation|assertion|session|cookie|jwt|samlre|^(auth|code|key|otp|pass|pin|pwd|sid|sig)$')
                OR match(parameter, '=(?i:bearer(%20|\\+))?eyJ[A-Za-z0-9_-]*\\.')),
            concat(extract(parameter, '^[^=]*='), 'REDACTED', extract(parameter, '[&;]$')),
            parameter),
        extractAll(queryString(received_path), '[^&;]*[&;]|[^&;]+$'))) AS url_query,
    toValidUTF8(user_agent) AS user_agent_original,
    if(kind = 'tcp', 'tcp',
        transform(protocol, [0, 1, 2, 3, 4], ['', 'http/1.0', 'http/1.1', 'http/2', 'http/3'],
            concat('unknown:', toString(protocol)))) AS network_protocol,
    transform(sent_tls_version, [0, 1, 2, 3, 4], ['', 'TLSv1', 'TLSv1.1', 'TLSv1.2', 'TLSv1.3'],
        concat('unknown:', toString(sent_tls_version))) AS tls_version,
    -- Envoy logs URI names; DNS names come by a custom tag.
    toValidUTF8(arrayStringConcat(
        arrayFilter(san -> san NOT IN ('', '-'), arrayConcat(san_uris, splitByChar(',', tags['peer_dns_san']), san_dns)), ','))
        AS tls_peer_san,
    least(status, 65535) AS http_response_status_code,
    toValidUTF8(details) AS response_code_details,
    arrayFilter(
        (name, is_set) -> is_set,
        ['LH', 'UH', 'UT', 'LR', 'UR', 'UF', 'UC', 'UO', 'NR', 'DI', 'FI', 'RL', 'UAEX', 'RLSE', 'DC', 'URX', 'SI', 'IH',
            'DPE', 'UMSDR', 'RFCF', 'NFCF', 'DT', 'UPE', 'NC', 'OM', 'DF', 'DR'],
        flags) AS response_flags,
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
    said['reason'] AS reason,
    said['rule'] AS rule,
    least(toUInt64OrZero(said['rule_line']), 4294967295) AS rule_line,
    said['policy_version'] AS policy_version,
    said['config_version'] AS config_version,
    said['action'] AS action,
    said['resource'] AS resource,
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
        fields['ext_authz_duration'].number_value AS authz_ms,

        `common_properties.custom_tags` AS tags,
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
        [
            `common_properties.response_flags.failed_local_healthcheck`,
            `common_properties.response_flags.no_healthy_upstream`,
            `common_properties.response_flags.upstream_request_timeout`,
            `common_properties.response_flags.local_reset`,
            `common_properties.response_flags.upstream_remote_reset`,
            `common_properties.response_flags.upstream_connection_failure`,
            `common_properties.response_flags.upstream_connection_termination`,
            `common_properties.response_flags.upstream_overflow`,
            `common_properties.response_flags.no_route_found`,
            `common_properties.response_flags.delay_injected`,
            `common_properties.response_flags.fault_injected`,
            `common_properties.response_flags.rate_limited`,
            `common_properties.response_flags.unauthorized_details.reason` != 0,
            `common_properties.response_flags.rate_limit_service_error`,
            `common_properties.response_flags.downstream_connection_termination`,
            `common_properties.response_flags.upstream_retry_limit_exceeded`,
            `common_properties.response_flags.stream_idle_timeout`,
            `common_properties.response_flags.invalid_envoy_request_headers`,
            `common_properties.response_flags.downstream_protocol_error`,
            `common_properties.response_flags.upstream_max_stream_duration_reached`,
            `common_properties.response_flags.response_from_cache_filter`,
            `common_properties.response_flags.no_filter_config_found`,
            `common_properties.response_flags.duration_timeout`,
            `common_properties.response_flags.upstream_protocol_error`,
            `common_properties.response_flags.no_cluster_found`,
            `common_properties.response_flags.overload_manager`,
            `common_properties.response_flags.dns_resolution_failure`,
            `common_properties.response_flags.downstream_remote_reset`
        ] AS flags,

        protocol_version AS protocol,
        `request.request_method` AS method,
        `request.request_headers`[':method'] AS method_header,
        extract(
            `request.request_headers`['traceparent'],
            '^[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}') AS traceparent_id,
        `request.scheme` AS scheme,
        `request.authority` AS authority,
        `request.path` AS path,
        -- Envoy keeps the path as received when it rewrites it.
        toValidUTF8(if(`request.original_path` != '', `request.original_path`, `request.path`)) AS received_path,
        `request.user_agent` AS user_agent,
        `request.request_id` AS sent_request_id,
        `request.request_body_bytes` AS request_body,
        `response.response_code.value` AS status,
        `response.response_body_bytes` AS response_body,
        `response.response_code_details` AS details,
        `connection_properties.received_bytes` AS connection_received,
        `connection_properties.sent_bytes` AS connection_sent
    FROM audit.entries
);
