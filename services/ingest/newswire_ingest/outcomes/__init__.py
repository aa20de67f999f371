"""What became of an article."""
