"""Accounts, API keys, signed tokens, and protection against guessing them."""
