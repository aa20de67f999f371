"""The live stream (server-sent events) and pull (events by page)."""
