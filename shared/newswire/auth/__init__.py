"""Accounts, keys, tokens, and the defence against guessing them."""
