"""Backup and restore of articles."""
