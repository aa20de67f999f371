"""Moves the texts of old versions from Redis to a folder or a bucket, and erases there what is retracted."""
