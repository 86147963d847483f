-- The database, and the list of what was applied to it.
-- In these files a statement ends with a line that ends in a semicolon, and everything is
-- IF NOT EXISTS: a migration that was interrupted is simply run again.

CREATE DATABASE IF NOT EXISTS audit;

CREATE TABLE IF NOT EXISTS audit.schema_migrations
(
    name       String COMMENT 'File name of the migration',
    sha256     String COMMENT 'SHA-256 of the file as it was applied, hex. An applied file never changes',
    applied_at DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When it was applied'
)
ENGINE = MergeTree
ORDER BY name
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'Which files of ledger/schema this database has seen';
