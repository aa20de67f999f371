"""The reader site."""
