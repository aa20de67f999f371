"""Tests of the archive of old texts."""
