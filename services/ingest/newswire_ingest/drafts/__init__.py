"""Drafts: texts that people work on, apart from the published articles."""
