"""From the stream into the index."""
