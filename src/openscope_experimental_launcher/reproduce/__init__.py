"""Sessions of the past: running one again, and telling what differed between two."""
