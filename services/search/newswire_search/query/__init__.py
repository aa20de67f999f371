"""The readers' search API."""
