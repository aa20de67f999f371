"""The floors: minimal programs that do the same tasks."""
