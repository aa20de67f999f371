"""Imports by the desk of the account ``Harbour Post``, with a folder of their own."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from newswire.auth.accounts import create_account
from newswire.users.service import UserService
from tests.ingest.conftest import Ingest
from tests.ingest.users.conftest import SITE, Desk, user

__all__ = ["user"]


@pytest.fixture
async def desk(ingest: Ingest, tmp_path: Path) -> AsyncIterator[Desk]:
    site = ingest.settings.public_url.__class__(SITE)
    ingest = ingest.with_settings(public_url=site, media_dir=tmp_path / "media")
    for account in ("Harbour Post", "Valley Post"):
        await create_account(ingest.redis, ingest.keys, account)
    made = Desk(ingest, UserService(ingest.redis, ingest.keys))
    yield made
    for browser in made.browsers:
        await browser.http.aclose()
