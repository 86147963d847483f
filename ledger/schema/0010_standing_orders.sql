-- A standing order is carried out by the ledger's writer, booked like any other removal; no longer by ClickHouse's TTL,
-- which drops parts without a word. What an older version set as TTL is taken off when the order is carried out next.

ALTER TABLE audit.removals
    COMMENT COLUMN IF EXISTS action 'begun: the partition is about to go. dropped: it is gone. ttl: from now on the ledger drops partitions that are older than days; 0 days: no more';
