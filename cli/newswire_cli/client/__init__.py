"""Connections of commands to a running Newswire: over HTTP, or to its Redis."""
