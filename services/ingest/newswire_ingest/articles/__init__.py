"""Publishing: single articles, batches, scheduled articles, and their storage."""
