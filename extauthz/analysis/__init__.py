"""Questions about a policy as a whole: its tests, who can, what can, what a change changes. Pure; off the hot path."""
