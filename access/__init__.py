"""The core: subjects, requests, decisions, reason codes and the path normaliser. Pure; no I/O."""
