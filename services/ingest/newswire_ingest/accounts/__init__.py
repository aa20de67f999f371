"""The operators' API of accounts, keys and the audit log."""
