"""Imports by the desk: a file is read, compared with what is stored, and published when a user starts it."""
