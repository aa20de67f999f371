"""Browsers, and users of the account ``Harbour Post``."""

from tests.ingest.users.conftest import desk, user

__all__ = ["desk", "user"]
