-- audit.entries: where Envoy's entries land. The writer inserts with FORMAT ProtobufList and entry.proto,
-- HTTP and TCP entries alike (what an entry does not have is empty here), and tells what all rows of the
-- batch share in the setting log_comment, as JSON:
-- {"batch": id, "kind": "http" | "tcp", "log_name": text, "node": text, "received_at": unix nanoseconds}.
--
--   audit.entries -(shape_entries)-> audit.entries_shaped -(store_entries)-> audit.access_log
--      Null                               Null                               MergeTree
--
-- shape_entries is all that knows how a row comes out of an entry. store_entries passes every row on,
-- unless log_comment says "trial": true: so the writer finds out which entry of a batch cannot be read,
-- by the very code that would store it, and stores nothing.

CREATE TABLE IF NOT EXISTS audit.entries
(
    common_properties Tuple(
        downstream_remote_address Tuple(socket_address Tuple(address String, port_value UInt32), pipe Tuple(path String)),
        tls_properties Tuple(
            tls_version Int32,
            peer_certificate_properties Tuple(subject_alt_name Array(Tuple(uri String, dns String)))),
        start_time Tuple(seconds Int64, nanos Int32),
        time_to_last_downstream_tx_byte Tuple(seconds Int64, nanos Int32),
        upstream_remote_address Tuple(socket_address Tuple(address String, port_value UInt32), pipe Tuple(path String)),
        upstream_cluster String,
        response_flags Tuple(
            failed_local_healthcheck Bool, no_healthy_upstream Bool, upstream_request_timeout Bool,
            local_reset Bool, upstream_remote_reset Bool, upstream_connection_failure Bool,
            upstream_connection_termination Bool, upstream_overflow Bool, no_route_found Bool,
            delay_injected Bool, fault_injected Bool, rate_limited Bool,
            unauthorized_details Tuple(reason Int32),
            rate_limit_service_error Bool, downstream_connection_termination Bool,
            upstream_retry_limit_exceeded Bool, stream_idle_timeout Bool, invalid_envoy_request_headers Bool,
            downstream_protocol_error Bool, upstream_max_stream_duration_reached Bool,
            response_from_cache_filter Bool, no_filter_config_found Bool, duration_timeout Bool,
            upstream_protocol_error Bool, no_cluster_found Bool, overload_manager Bool,
            dns_resolution_failure Bool, downstream_remote_reset Bool),
        metadata Tuple(filter_metadata Map(String, Tuple(fields Map(String, Tuple(number_value Float64, string_value String))))),
        route_name String,
        downstream_direct_remote_address Tuple(socket_address Tuple(address String, port_value UInt32), pipe Tuple(path String)),
        custom_tags Map(String, String),
        duration Tuple(seconds Int64, nanos Int32),
        stream_id String,
        intermediate_log_entry Bool,
        access_log_type Int32),
    protocol_version Int32,
    request Tuple(
        request_method Int32, scheme String, authority String, path String, user_agent String, request_id String,
        original_path String, request_body_bytes UInt64, request_headers Map(String, String)),
    response Tuple(
        response_code Tuple(value UInt32), response_body_bytes UInt64, response_code_details String),
    connection_properties Tuple(received_bytes UInt64, sent_bytes UInt64)
)
ENGINE = Null
COMMENT 'Where Envoy''s entries land; stores nothing';

CREATE TABLE IF NOT EXISTS audit.entries_shaped AS audit.access_log
ENGINE = Null
COMMENT 'Rows on their way from audit.entries to audit.access_log; stores nothing';

CREATE MATERIALIZED VIEW IF NOT EXISTS audit.shape_entries TO audit.entries_shaped AS
WITH
    -- What the batch says of all its rows.
    getSetting('log_comment') AS about,

    common_properties AS common,
    -- What extauthz said (CheckResponse.dynamic_metadata): strings, and one number of Envoy's own.
    common.metadata.filter_metadata['envoy.filters.http.ext_authz'].fields AS said,
    said['effect'].string_value AS effect,
    said['reason_code'].string_value AS said_reason_code,

    common.upstream_remote_address.socket_address AS upstream,
    common.upstream_remote_address.pipe.path AS upstream_pipe,
    (upstream.address != '' OR upstream_pipe != '') AS has_upstream,

    -- A path as received: Envoy keeps it in original_path when it rewrites.
    toValidUTF8(if(request.original_path != '', request.original_path, request.path)) AS received_path,

    -- decision: the first that matches. A doubt never becomes an allow.
    multiIf(
        response.response_code_details IN ('ext_authz_error', 'ext_authz_invalid'), 'error',
        effect IN ('allow', 'deny'), effect,
        has_upstream AND said['decision_id'].string_value = '', 'fail_open',
        'not_evaluated') AS outcome,

    -- Microseconds; a nonsensical or negative duration is 0.
    least(greatest(common.duration.seconds, 0), 9000000000) * 1000000 + greatest(intDiv(common.duration.nanos, 1000), 0)
        AS whole_us,
    least(greatest(common.time_to_last_downstream_tx_byte.seconds, 0), 9000000000) * 1000000
        + greatest(intDiv(common.time_to_last_downstream_tx_byte.nanos, 1000), 0) AS last_byte_us,
    least(toUInt64OrZero(common.custom_tags['authz_duration_us']), 4294967295) AS tagged_authz_us,

    common.tls_properties.peer_certificate_properties.subject_alt_name AS sans,
    extract(
        request.request_headers['traceparent'], '^[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}') AS traceparent_id,
    common.response_flags AS flags
SELECT
    -- Seconds beyond 2106 would leave the range of the sorting key's hour.
    if(common.start_time.seconds BETWEEN 0 AND 4294967294,
        fromUnixTimestamp64Nano(
            greatest(common.start_time.seconds * 1000000000 + common.start_time.nanos, 0), 'UTC'),
        fromUnixTimestamp64Nano(toInt64(0), 'UTC')) AS time,
    fromUnixTimestamp64Nano(JSONExtractInt(about, 'received_at'), 'UTC') AS received_at,
    -- What a client can choose is made valid UTF-8 (U+FFFD for what is not): it must not break readers.
    toValidUTF8(request.request_id) AS request_id,
    toValidUTF8(common.stream_id) AS stream_id,
    if(traceparent_id = '00000000000000000000000000000000', '', traceparent_id) AS trace_id,
    said['decision_id'].string_value AS decision_id,
    JSONExtractString(about, 'node') AS envoy_node,
    JSONExtractString(about, 'log_name') AS log_name,
    if(said['service'].string_value != '', said['service'].string_value, common.custom_tags['service']) AS service,
    common.route_name AS route_name,
    common.upstream_cluster AS upstream_cluster,
    multiIf(
        upstream_pipe != '', upstream_pipe,
        upstream.address = '', '',
        position(upstream.address, ':') > 0, concat('[', upstream.address, ']:', toString(upstream.port_value)),
        concat(upstream.address, ':', toString(upstream.port_value))) AS upstream_address,
    said['subject'].string_value AS subject,
    arrayFilter(role -> role != '', splitByChar(',', said['roles'].string_value)) AS subject_roles,
    said['auth_method'].string_value AS auth_method,
    said['auth_issuer'].string_value AS auth_issuer,
    -- Without a zone (fe80::1%eth0), which an IPv6 cannot hold.
    toIPv6OrDefault(splitByChar('%', common.downstream_remote_address.socket_address.address)[1]) AS client_address,
    toIPv6OrDefault(splitByChar('%', common.downstream_direct_remote_address.socket_address.address)[1])
        AS client_direct_address,
    if(request.request_headers[':method'] != '',
        toValidUTF8(request.request_headers[':method']),
        transform(request.request_method, [1, 2, 3, 4, 5, 6, 7, 8, 9],
            ['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'CONNECT', 'OPTIONS', 'TRACE', 'PATCH'], '')) AS http_request_method,
    toValidUTF8(request.scheme) AS url_scheme,
    toValidUTF8(request.authority) AS server_address,
    if(said['resource'].string_value != '', said['resource'].string_value, cutQueryStringAndFragment(received_path))
        AS url_path,
    cutQueryStringAndFragment(toValidUTF8(request.path)) AS url_path_upstream,
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
    toValidUTF8(request.user_agent) AS user_agent_original,
    if(JSONExtractString(about, 'kind') = 'tcp', 'tcp',
        transform(protocol_version, [0, 1, 2, 3, 4], ['', 'http/1.0', 'http/1.1', 'http/2', 'http/3'],
            concat('unknown:', toString(protocol_version)))) AS network_protocol,
    transform(common.tls_properties.tls_version, [0, 1, 2, 3, 4], ['', 'TLSv1', 'TLSv1.1', 'TLSv1.2', 'TLSv1.3'],
        concat('unknown:', toString(common.tls_properties.tls_version))) AS tls_version,
    toValidUTF8(arrayStringConcat(arrayFilter(san -> san NOT IN ('', '-'), arrayConcat(
        sans.uri,
        if(hasAny(sans.dns, [common.custom_tags['peer_dns_san']]), emptyArrayString(), [common.custom_tags['peer_dns_san']]),
        sans.dns)), ',')) AS tls_peer_san,
    least(response.response_code.value, 65535) AS http_response_status_code,
    toValidUTF8(response.response_code_details) AS response_code_details,
    arrayFilter(
        (name, is_set) -> is_set,
        ['LH', 'UH', 'UT', 'LR', 'UR', 'UF', 'UC', 'UO', 'NR', 'DI', 'FI', 'RL', 'UAEX', 'RLSE', 'DC', 'URX', 'SI', 'IH',
            'DPE', 'UMSDR', 'RFCF', 'NFCF', 'DT', 'UPE', 'NC', 'OM', 'DF', 'DR'],
        [flags.failed_local_healthcheck, flags.no_healthy_upstream, flags.upstream_request_timeout, flags.local_reset,
            flags.upstream_remote_reset, flags.upstream_connection_failure, flags.upstream_connection_termination,
            flags.upstream_overflow, flags.no_route_found, flags.delay_injected, flags.fault_injected, flags.rate_limited,
            flags.unauthorized_details.reason != 0, flags.rate_limit_service_error, flags.downstream_connection_termination,
            flags.upstream_retry_limit_exceeded, flags.stream_idle_timeout, flags.invalid_envoy_request_headers,
            flags.downstream_protocol_error, flags.upstream_max_stream_duration_reached, flags.response_from_cache_filter,
            flags.no_filter_config_found, flags.duration_timeout, flags.upstream_protocol_error, flags.no_cluster_found,
            flags.overload_manager, flags.dns_resolution_failure, flags.downstream_remote_reset]) AS response_flags,
    request.request_body_bytes + connection_properties.received_bytes AS request_bytes,
    response.response_body_bytes + connection_properties.sent_bytes AS response_bytes,
    if(whole_us != 0, whole_us, last_byte_us) AS duration_us,
    -- Envoy adds ext_authz_duration (milliseconds) to the metadata of an OK answer.
    if(tagged_authz_us != 0, tagged_authz_us,
        accurateCastOrDefault(round(said['ext_authz_duration'].number_value * 1000), 'UInt32')) AS authz_duration_us,
    least(toUInt64OrZero(said['decide_us'].string_value), 4294967295) AS decide_us,
    outcome AS decision,
    multiIf(
        response.response_code_details = 'ext_authz_invalid', 'authz_invalid_response',
        outcome = 'error', if(said_reason_code != '', said_reason_code, 'authz_timeout_or_unreachable'),
        outcome IN ('fail_open', 'not_evaluated'), outcome,
        said_reason_code) AS reason_code,
    said['reason'].string_value AS reason,
    said['rule'].string_value AS rule,
    least(toUInt64OrZero(said['rule_line'].string_value), 4294967295) AS rule_line,
    said['policy_version'].string_value AS policy_version,
    said['config_version'].string_value AS config_version,
    said['action'].string_value AS action,
    said['resource'].string_value AS resource,
    -- Envoy's own names. An end that is not named (older Envoys name none) stays empty.
    if(common.access_log_type = 0,
        if(common.intermediate_log_entry, 'intermediate', ''),
        transform(common.access_log_type, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14],
            ['TcpUpstreamConnected', 'TcpPeriodic', 'TcpConnectionEnd', 'DownstreamStart', 'DownstreamPeriodic',
                'DownstreamEnd', 'UpstreamPoolReady', 'UpstreamPeriodic', 'UpstreamEnd',
                'DownstreamTunnelSuccessfullyEstablished', 'UdpTunnelUpstreamConnected', 'UdpPeriodic', 'UdpSessionEnd',
                'TcpConnectionStart'],
            concat('unknown:', toString(common.access_log_type)))) AS entry_type,
    JSONExtractString(about, 'batch') AS batch,
    rowNumberInAllBlocks() AS batch_row
FROM audit.entries;

CREATE MATERIALIZED VIEW IF NOT EXISTS audit.store_entries TO audit.access_log AS
SELECT *
FROM audit.entries_shaped
WHERE NOT JSONExtractBool(getSetting('log_comment'), 'trial');
