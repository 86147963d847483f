-- The tables beside audit.access_log.

CREATE TABLE IF NOT EXISTS audit.batches
(
    batch          String COMMENT 'Id of the batch: segment of the spool, and number within it',
    envoy_node     LowCardinality(String) COMMENT 'Node id of the Envoy that sent it. Absent: empty',
    log_name       LowCardinality(String) COMMENT 'log_name of the access logger that sent it. Absent: empty',
    kind           LowCardinality(String) COMMENT 'http or tcp',
    rows           UInt32 COMMENT 'Rows that it brought to audit.access_log',
    bytes          UInt64 COMMENT 'Bytes of the raw entries as Envoy sent them',
    sha256         String COMMENT 'SHA-256 of the raw entries, hex: can be checked while they are spooled',
    rows_digest    String COMMENT 'SHA-256 over the stored columns, hex: can be checked for ever; see ledger/digest.py',
    digest_version UInt8 COMMENT 'Which list of columns rows_digest covers',
    first_time     DateTime64(9, 'UTC') COMMENT 'Least time of its rows',
    last_time      DateTime64(9, 'UTC') COMMENT 'Greatest time of its rows',
    received_at    DateTime64(6, 'UTC') COMMENT 'As in its rows',
    stored_at      DateTime64(6, 'UTC') COMMENT 'When the writer had seen all its rows in audit.access_log'
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(received_at)
ORDER BY (received_at, batch)
SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1,
    min_compressed_bytes_to_fsync_after_merge = 1,
    parts_to_delay_insert = 300, min_delay_to_insert_ms = 250, parts_to_throw_insert = 3000
COMMENT 'Every stored batch, one row each: what the ledger promises to hold';

CREATE TABLE IF NOT EXISTS audit.policies
(
    policy_version String COMMENT 'sha256(sha256(model) + sha256(policy)), hex: as in audit.access_log',
    model          String CODEC(ZSTD(3)) COMMENT 'The Casbin model',
    policy         String CODEC(ZSTD(3)) COMMENT 'The Casbin policy, CSV',
    model_path     String COMMENT 'File that the model was read from',
    policy_path    String COMMENT 'File that the policy was read from',
    node           String COMMENT 'Host of the extauthz that swapped it in first',
    received_at    DateTime64(6, 'UTC') COMMENT 'When it was swapped in first',
    stored_at      DateTime64(6, 'UTC') DEFAULT now64(6) COMMENT 'When the writer stored it'
)
ENGINE = MergeTree
ORDER BY (policy_version, received_at)
SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1,
    min_compressed_bytes_to_fsync_after_merge = 1
COMMENT 'Every model and policy text that decided, one row a version';

CREATE TABLE IF NOT EXISTS audit.unparsed
(
    received_at DateTime64(6, 'UTC') COMMENT 'When alslog received it',
    envoy_node  LowCardinality(String) COMMENT 'Node id of the Envoy that sent it. Absent: empty',
    log_name    LowCardinality(String) COMMENT 'log_name of the access logger that sent it. Absent: empty',
    cause       String COMMENT 'Why it is no row of audit.access_log',
    size        UInt64 COMMENT 'Its bytes',
    sha256      String COMMENT 'SHA-256 of its bytes, hex',
    file        String COMMENT 'Name of the file in the writer''s quarantine directory that holds its bytes (0600: they may hold secrets)',
    batch       String COMMENT 'The batch that it would have belonged to. Empty: none',
    entries     UInt32 COMMENT 'Entries of that batch that the file holds. 0: unknown',
    stored_at   DateTime64(6, 'UTC') DEFAULT now64(6) COMMENT 'When the writer stored this row'
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(received_at)
ORDER BY (received_at, file)
SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'What could not be read, one row each; nothing is thrown away';

CREATE TABLE IF NOT EXISTS audit.decision_log
(
    time           DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'When extauthz decided',
    received_at    DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'When it was journalled; one value a batch',
    node           LowCardinality(String) COMMENT 'Host of the extauthz that decided',
    decision_id    String CODEC(ZSTD(1)) COMMENT 'As in audit.access_log',
    request_id     String CODEC(ZSTD(1)) COMMENT 'As in audit.access_log. Absent: empty',
    effect         LowCardinality(String) COMMENT 'allow or deny',
    reason_code    LowCardinality(String) COMMENT 'Why, one of a fixed list',
    subject        String CODEC(ZSTD(1)) COMMENT 'Who, as verified',
    subject_roles  Array(String) CODEC(ZSTD(1)) COMMENT 'Roles that the credentials asserted',
    service        LowCardinality(String) COMMENT 'Service name',
    action         LowCardinality(String) COMMENT 'Action as the policy saw it',
    resource       String CODEC(ZSTD(1)) COMMENT 'Resource as the policy saw it',
    rule           String CODEC(ZSTD(1)) COMMENT 'The policy line that decided. Empty: no line did',
    rule_line      UInt32 CODEC(ZSTD(1)) COMMENT 'Its line number. 0: no line decided',
    policy_version LowCardinality(String) COMMENT 'As in audit.policies',
    config_version LowCardinality(String) COMMENT 'Hash of the other settings that decide',
    decide_us      UInt32 CODEC(ZSTD(1)) COMMENT 'Microseconds that the decision took',
    batch          LowCardinality(String) COMMENT 'The batch that brought this row',
    batch_row      UInt32 CODEC(ZSTD(1)) COMMENT 'Number of the row in its batch',

    INDEX decision_id_seen decision_id TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX request_id_seen request_id TYPE bloom_filter(0.001) GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY toDate(received_at)
ORDER BY (toStartOfHour(time), subject, time)
SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1,
    min_compressed_bytes_to_fsync_after_merge = 1, ttl_only_drop_parts = 1,
    parts_to_delay_insert = 300, min_delay_to_insert_ms = 250, parts_to_throw_insert = 3000
COMMENT 'What extauthz decided, by its own journal: to be held against audit.access_log';

CREATE TABLE IF NOT EXISTS audit.envoy_counters
(
    time       DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'When the counter was read',
    envoy_node LowCardinality(String) COMMENT 'Node id of the Envoy',
    started_at DateTime64(3, 'UTC') CODEC(ZSTD(1)) COMMENT 'When that Envoy started: its counters begin at 0 then',
    name       LowCardinality(String) COMMENT 'Name of the counter as Envoy spells it',
    value      UInt64 CODEC(ZSTD(1)) COMMENT 'Its value'
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(time)
ORDER BY (envoy_node, name, time)
SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'Envoy''s own counts of what it logged and dropped: what the rows are held against';
