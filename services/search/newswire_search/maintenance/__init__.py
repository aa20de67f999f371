"""Rebuilds an index, and compares it with the records."""
