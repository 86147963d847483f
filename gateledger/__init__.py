"""The command line, the local stack runner and the settings."""
