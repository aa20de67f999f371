"""The index of articles: its port, and what both kinds share."""
