"""Ingest with an archive, in a folder or a bucket, that takes every text at once."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from newswire.storage.document_archive import MARKER, DocumentArchive, open_archive
from newswire_ingest.archive.archiver import Archiver
from newswire_ingest.archive.repository import ArchiveRepository
from tests.ingest.conftest import ARTICLE, Ingest


@dataclass(frozen=True)
class ArchiveTest:
    """An app with an archive; a test archives and erases when it wants to."""

    ingest: Ingest
    folder: Path
    key: dict[str, str]

    @property
    def records(self) -> ArchiveRepository:
        return ArchiveRepository(self.ingest.redis, self.ingest.keys)

    @property
    def archive(self) -> DocumentArchive:
        return open_archive(self.ingest.settings)

    @property
    def archiver(self) -> Archiver:
        return Archiver(self.records, self.archive.storage, after_days=1)

    async def publish(self, **members: Any) -> str:
        answer = await self.ingest.http.post("/v1/articles", json=ARTICLE | members, headers=self.key)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    async def change(self, article: str, **members: Any) -> None:
        answer = await self.ingest.http.patch(f"/v1/articles/{article}", json=members, headers=self.key)
        assert answer.status_code == 200, answer.text

    async def get(self, path: str) -> Any:
        return await self.ingest.http.get(f"/v1/articles/{path}".rstrip("/"), headers=self.key)

    async def archive_all(self) -> int:
        """Archive everything that is published."""
        ids = [raw.decode() for raw in await self.ingest.redis.zrange(self.ingest.keys.articles, 0, -1)]
        return (await self.archiver.archive(ids, datetime.now(UTC) + timedelta(minutes=1)))[0]

    async def stored(self, article: str, version: int = 1) -> bytes:
        document: bytes = await self.ingest.redis.hget(self.ingest.keys.version(article, version), "document")
        return document

    def objects(self) -> list[Path]:
        return sorted(path for path in self.folder.rglob("*") if path.is_file() and path.name != MARKER)

    def unmount(self) -> None:
        """Leave an empty folder, as a disk does that is not mounted."""
        self.folder.rename(self.folder.with_name("away"))
        self.folder.mkdir()

    def mount(self) -> None:
        self.folder.rmdir()
        self.folder.with_name("away").rename(self.folder)


@pytest.fixture
async def archived(ingest: Ingest, publisher: dict[str, str], tmp_path: Path) -> AsyncIterator[ArchiveTest]:
    folder = tmp_path / "archive"
    other = ingest.with_settings(archive_url=folder.as_uri())
    yield ArchiveTest(other, folder, publisher)
    await other.http.aclose()
