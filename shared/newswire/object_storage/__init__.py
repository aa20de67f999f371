"""Files outside of Redis: a folder, or an S3 bucket."""
