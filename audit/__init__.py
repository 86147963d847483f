"""The reading side: named queries over the ledger, each a commented .sql file in queries/.

Reads only, as the reader's user; knows ClickHouse through the client that it is given.
"""
