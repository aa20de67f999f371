"""Feeds of the newest articles."""
