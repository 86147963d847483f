-- What `gateledger db retain` removed: a ledger that forgets must say what it forgot.

CREATE TABLE IF NOT EXISTS audit.removals
(
    removed_at        DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When it was removed',
    table_name        LowCardinality(String) COMMENT 'Table of the database audit',
    action            LowCardinality(String) COMMENT 'begun: the partition is about to go. dropped: it is gone. ttl: from now on ClickHouse itself drops parts that are older than days',
    partition         String COMMENT 'The partition. Empty with ttl',
    rows              UInt64 COMMENT 'Rows that it held',
    first_received_at DateTime64(6, 'UTC') COMMENT 'Least received_at (time of a counter) that it held',
    last_received_at  DateTime64(6, 'UTC') COMMENT 'Greatest received_at (time of a counter) that it held',
    days              UInt32 COMMENT 'How many days were to be kept',
    run_by            String COMMENT 'User and host that ran the command'
)
ENGINE = MergeTree
ORDER BY (removed_at, table_name, partition)
SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1,
    min_compressed_bytes_to_fsync_after_merge = 1
COMMENT 'Every removal of records, and every standing order to remove some';
