"""The outcomes of articles."""
