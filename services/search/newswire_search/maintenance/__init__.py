"""Rebuilding an index, and comparing it with the records."""
