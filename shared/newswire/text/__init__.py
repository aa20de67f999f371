"""Text: analysis, comparison, and the query language."""
