"""Sanitises article HTML, and detects the language of a text."""
