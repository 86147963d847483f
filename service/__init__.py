"""What every long-running process shares: JSON logs, probes and metrics over HTTP, signals."""
