"""Data in Redis and in files, and the clients that access it."""
