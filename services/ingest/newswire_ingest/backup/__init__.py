"""Articles in a backup, and put back from it."""
