"""Making an index again, and comparing it with the records."""
