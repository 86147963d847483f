"""The reading side: named queries and how they are run."""
