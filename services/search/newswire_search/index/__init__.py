"""The index of articles: its port, and code shared by both implementations."""
