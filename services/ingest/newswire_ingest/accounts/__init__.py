"""The operators' API for accounts, keys and the audit log."""
