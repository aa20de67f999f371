"""Indexes the events of the stream."""
