"""Ingest with a folder for images, and shortcuts to upload them."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from newswire.object_storage.folder import FolderStorage
from newswire.timestamps import utc_now
from newswire_ingest.media.repository import MediaRepository
from newswire_ingest.media.upkeep import MediaUpkeep
from newswire_ingest.media.variants import VariantMaker
from tests.ingest.conftest import Ingest
from tests.ingest.media.images import jpeg


@dataclass(frozen=True)
class MediaTest:
    """An app whose images are in a folder of the test; background work is done when a test asks for it."""

    ingest: Ingest
    folder: Path
    upkeep: MediaUpkeep

    @property
    def http(self) -> httpx.AsyncClient:
        return self.ingest.http

    async def upload(self, key: dict[str, str], content: bytes | None = None, **texts: str) -> Any:
        sent = jpeg() if content is None else content
        answer = await self.http.post("/v1/media", params=texts, content=sent, headers=key)
        assert answer.status_code in (200, 201), answer.text
        return answer.json()

    async def refused(self, key: dict[str, str], content: bytes, status: int = 422) -> str:
        """Upload what is not accepted; return the problem and its remedy."""
        answer = await self.http.post("/v1/media", content=content, headers=key)
        assert answer.status_code == status, answer.text
        error = answer.json()["errors"][0]
        return f"{error['problem']}: {error['fix']}"

    async def status(self, url: str) -> int:
        return (await self.http.get(url.removeprefix("https://news.example"))).status_code

    def stored(self) -> list[str]:
        """Return the names of all files in the folder."""
        return sorted(path.name for path in self.folder.rglob("*") if path.is_file())


@pytest.fixture
async def media(ingest: Ingest, tmp_path: Path) -> AsyncIterator[MediaTest]:
    folder = tmp_path / "media"
    other = ingest.with_settings(media_dir=folder)
    records, storage = MediaRepository(other.redis, other.keys), FolderStorage(folder)
    variants = VariantMaker(records, storage, utc_now)
    upkeep = MediaUpkeep(
        records, storage, variants, other.settings.media_unused_after, utc_now, other.redis, other.keys
    )
    yield MediaTest(other, folder, upkeep)
    await other.http.aclose()
