"""Publishing: one article, batches, schedules, and the record they are written to."""
