"""Signing in, and the pages and the API for users."""
