-- audit.access_log: one row a request (and one each tunnel start, periodic entry or connection).
--
-- PARTITION BY the day of received_at, which a batch has one of: an INSERT is atomic when it is one
-- block into one partition, and a slow request that started before midnight must not split it.
-- It also gives every part the least and greatest received_at, so that the writer's check of a
-- batch (received_at = X AND batch = B) reads the part of that batch and no other.
--
-- ORDER BY: audit questions come with a span of time, so its hour is first; then the decision,
-- which has five values and lets questions about refusals skip the many allowed rows; then the
-- subject, the commonest filter, whose rows then lie together and compress well.
--
-- What is inserted is a compact part in the server's default codec, LZ4; a merge writes the columns apart, and the
-- embedded ClickHouse is set up to use ZSTD from the first merge on (chserver/grants.py). So an INSERT costs a third
-- less, and what stays is as small as ever. The indexes too are built by the first merge (ledger/insert.py).
--
-- Merges may wait while inserts take all processors (docs/design/ledger.md): from 300 parts of a day on each INSERT
-- waits a quarter of a second and more, which gives merges their time. TOO_MANY_PARTS is at 3000.
--
-- The fsync settings: without them an acknowledged insert lives in the page cache only, and a merge
-- would put unsynced parts in place of synced ones. Measured: see docs/design/ledger.md.

CREATE TABLE IF NOT EXISTS audit.access_log
(
    time                      DateTime64(9, 'UTC') CODEC(Delta(8), Default) COMMENT 'Start of the request or connection, by Envoy''s clock. Absent: 1970-01-01 00:00:00',
    received_at               DateTime64(6, 'UTC') CODEC(Delta(8), Default) COMMENT 'When alslog received the last message of the batch; one value a batch',
    request_id                String COMMENT 'x-request-id. A client behind the edge may choose it: not unique. Absent: empty',
    own_stream_id             String COMMENT 'What stream_id is made of: =: it is the request_id, as of nearly every request; else the id itself',
    trace_id                  String COMMENT 'Trace id out of a valid traceparent header, 32 hex digits. Absent: empty',
    decision_id               String COMMENT 'Id of extauthz''s decision (UUIDv7). Empty: extauthz did not decide this request',
    envoy_node                LowCardinality(String) COMMENT 'Node id of the Envoy that sent the entry. Absent: empty',
    log_name                  LowCardinality(String) COMMENT 'log_name of the access logger that sent the entry. Absent: empty',
    service                   LowCardinality(String) COMMENT 'Service name as the policy saw it, else as the route carries it. Absent: empty',
    route_name                LowCardinality(String) COMMENT 'Name of Envoy''s route. Absent: empty',
    upstream_cluster          LowCardinality(String) COMMENT 'Envoy''s cluster that the request was routed to. Absent: empty',
    upstream_address          LowCardinality(String) COMMENT 'IP:PORT, [IPv6]:PORT or socket path of the upstream host. Empty: no upstream host was chosen',
    subject                   String COMMENT 'Who, as verified; anonymous: no credentials came. Empty: credentials that nobody could verify, or extauthz did not decide',
    subject_roles             Array(String) COMMENT 'Roles that the credentials asserted, prefixed role:. Absent: []',
    auth_method               LowCardinality(String) COMMENT 'jwt, mtls, api_key or none. Empty: extauthz did not decide',
    auth_issuer               LowCardinality(String) COMMENT 'Who vouched for the subject. Absent: empty',
    client_address            IPv6 COMMENT 'Client as Envoy trusts it (X-Forwarded-For from trusted hops only); IPv4 as ::ffff:a.b.c.d. Absent, or a unix socket: ::',
    client_direct_address     IPv6 COMMENT 'The other end of the connection; IPv4 as ::ffff:a.b.c.d. Absent, or a unix socket: ::',
    http_request_method       LowCardinality(String) COMMENT 'Method as sent. Absent: empty',
    url_scheme                LowCardinality(String) COMMENT 'http or https. Absent: empty',
    server_address            LowCardinality(String) COMMENT 'Authority (Host header), with its port if it has one. Absent: empty',
    url_path                  String COMMENT 'Path as the policy saw it; without a decision the path as received; no query. Absent: empty',
    url_path_upstream         String COMMENT 'Path as Envoy had it at the end: what was forwarded, if anything was (see upstream_address); no query. Absent: empty',
    url_query                 String COMMENT 'Query as received; values of parameters whose names suggest secrets are REDACTED. Absent: empty',
    user_agent_original       String COMMENT 'User-Agent as sent: chosen by the client. Absent: empty',
    network_protocol          LowCardinality(String) COMMENT 'http/1.0, http/1.1, http/2, http/3 or tcp. Absent: empty',
    tls_version               LowCardinality(String) COMMENT 'TLSv1, TLSv1.1, TLSv1.2 or TLSv1.3. Empty: no TLS',
    tls_peer_san              String COMMENT 'Subject alternative names of the client certificate as presented (URI, then DNS), comma-joined. Absent: empty',
    http_response_status_code UInt16 COMMENT 'Status that the client got. 0: none was sent',
    response_code_details     LowCardinality(String) COMMENT 'Envoy''s word for why it answered so. Absent: empty',
    response_flags            Array(String) COMMENT 'Envoy''s short names (UAEX, NR, UF, ...). None: []',
    request_bytes             UInt64 COMMENT 'Bytes of the request body; of a TCP connection all that was received',
    response_bytes            UInt64 COMMENT 'Bytes of the response body; of a TCP connection all that was sent',
    duration_us               UInt64 COMMENT 'Microseconds from start to end. Absent: 0',
    authz_duration_us         UInt32 COMMENT 'Microseconds that Envoy waited for extauthz. Absent: 0',
    decide_us                 UInt32 COMMENT 'Microseconds that extauthz took to decide. Absent: 0',
    decision                  Enum8('allow' = 1, 'deny' = 2, 'error' = 3, 'fail_open' = 4, 'not_evaluated' = 5) DEFAULT 'not_evaluated' COMMENT 'What became of the request; the rules stand in 0004_entries.sql',
    reason_code               LowCardinality(String) COMMENT 'Why, one of a fixed list (docs/terminology.md)',
    reason                    String COMMENT 'Why, for people. Absent: empty',
    rule                      String COMMENT 'The policy line that decided, as it stands in the CSV. Empty: no line did',
    rule_line                 UInt32 COMMENT 'Its line number, from 1. 0: no line decided',
    policy_version            LowCardinality(String) COMMENT 'Hash of model and policy; the texts are in audit.policies. Empty: extauthz did not decide',
    config_version            LowCardinality(String) COMMENT 'Hash of the other settings that decide. Empty: extauthz did not decide',
    action                    LowCardinality(String) COMMENT 'Action as the policy saw it. Empty: extauthz did not decide',
    resource                  String COMMENT 'Resource as the policy saw it. Empty: extauthz did not decide',
    entry_type                LowCardinality(String) COMMENT 'Envoy''s AccessLogType (DownstreamEnd, TcpConnectionEnd, DownstreamStart, ...); intermediate: not named, but not an end. Empty: not named, an end',
    batch                     LowCardinality(String) COMMENT 'The batch that brought this row; see audit.batches',
    batch_row                 UInt32 COMMENT 'Number of the row in its batch, from 0 without gaps',
    stream_id                 String ALIAS if(own_stream_id = '=', request_id, own_stream_id) COMMENT 'Envoy''s id of the stream or connection. Absent: empty. Not stored: 19 bytes a row for what request_id says',
    is_end                    Bool ALIAS entry_type IN ('', 'DownstreamEnd', 'TcpConnectionEnd', 'UdpSessionEnd') COMMENT 'Whether this row ends a request or connection: count these. Not stored',

    INDEX time_span time TYPE minmax GRANULARITY 1,
    INDEX request_id_seen request_id TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX decision_id_seen decision_id TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX trace_id_seen trace_id TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX resource_seen resource TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX client_address_seen client_address TYPE bloom_filter(0.01) GRANULARITY 1,

    CONSTRAINT from_a_batch CHECK batch != ''
)
ENGINE = MergeTree
PARTITION BY toDate(received_at)
ORDER BY (toStartOfHour(time), decision, subject, time)
SETTINGS
    non_replicated_deduplication_window = 10000,
    fsync_after_insert = 1,
    fsync_part_directory = 1,
    min_compressed_bytes_to_fsync_after_merge = 1,
    ttl_only_drop_parts = 1,
    parts_to_delay_insert = 300,
    min_delay_to_insert_ms = 250,
    parts_to_throw_insert = 3000,
    min_bytes_for_wide_part = 268435456
COMMENT 'Every request that Envoy saw: who, what, when, from where, how, allowed or denied, by which rule, and what was answered';
