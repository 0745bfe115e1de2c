"""An app whose first migration stands still until the test lets it go on; the second one waits for old snapshots."""

GATE = 42
"""The advisory lock that the first migration waits for."""
