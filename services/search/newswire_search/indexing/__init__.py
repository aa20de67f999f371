"""Indexing the events of the stream."""
