"""Administration of the embedded index.

Each index is a folder ``articles-mapping-serial``; the file ``in-use-mapping`` names the one in use. Only the process that has
the index open can replace it; any other may read it.
"""

import asyncio
import secrets
import shutil
from collections.abc import AsyncIterator, Sequence
from typing import cast

import tantivy

from newswire_search.index.admin import IndexedVersion, StagingIndex
from newswire_search.index.embedded.folder import index_names
from newswire_search.index.embedded.index import EmbeddedIndex
from newswire_search.index.models import Operation, RejectedOperation, WriteStatus

PAGE = 2000
IDENTITY = "identity"


class EmbeddedContents:
    """`newswire_search.index.admin.IndexContents` of an embedded index."""

    def __init__(self, index: EmbeddedIndex) -> None:
        self._index = index

    async def write(self, operations: Sequence[Operation]) -> list[WriteStatus | RejectedOperation]:
        """Write a batch."""
        return await self._index.write(operations)

    async def refresh(self) -> None:
        """Load what this process or another one has committed."""
        await self._index.reload()

    async def lookup(self, ids: Sequence[str]) -> dict[str, IndexedVersion]:
        """Look up the ids."""
        found = await self._index.read(
            lambda searcher: [self._index.look_up(searcher, article_id) for article_id in dict.fromkeys(ids)]
        )
        versions = [_indexed_version(*each) for each in found if each is not None]
        return {version.id: version for version in versions}

    async def scan(self) -> AsyncIterator[list[IndexedVersion]]:
        """Scan with one searcher."""
        searcher = await self._index.read(lambda searcher: searcher)
        at = 0
        while page := await self._index.read(lambda _, at=at: _page(searcher, at)):  # type: ignore[misc]
            yield page
            at += len(page)

    async def identity(self) -> str | None:
        """Return the token in the index's folder, which the first call writes."""
        return await asyncio.to_thread(self._identity)

    def _identity(self) -> str:
        file = self._index.folder / self._index.in_use / IDENTITY
        if not file.exists():
            unfinished = file.with_name(f"{IDENTITY}.unfinished")
            unfinished.write_text(secrets.token_hex(12))
            unfinished.replace(file)
        return file.read_text()


class EmbeddedStagingIndex(EmbeddedContents):
    """`newswire_search.index.admin.StagingIndex` in a folder of its own."""

    def __init__(self, index: EmbeddedIndex) -> None:
        super().__init__(index)
        self.index = index
        self.name = index.in_use

    async def finish(self) -> None:
        """Refresh: the settings do not change while it is filled."""
        await self.refresh()

    async def close(self) -> None:
        """Stop its threads, and release the folder unless the index in use has taken it over."""
        await self.index.close()


class EmbeddedIndexAdmin(EmbeddedContents):
    """`newswire_search.index.admin.IndexAdmin` of the index that this process has open."""

    async def mismatch(self) -> str | None:
        """Return None: an index of this release's mapping is created when it is opened, and filled by that process."""
        return None

    async def in_use(self) -> str | None:
        """Return the name of the folder."""
        return self._index.in_use

    async def is_empty(self) -> bool:
        """Return whether there is no document."""
        return bool(await self._index.read(lambda searcher: searcher.num_docs) == 0)

    async def unused(self) -> list[str]:
        """Return the names of the other folders."""
        return [name for name in await asyncio.to_thread(index_names, self._index.folder) if name != self._index.in_use]

    async def open_staging(self, name: str | None) -> StagingIndex:
        """Open or create a folder."""
        return EmbeddedStagingIndex(await asyncio.to_thread(self._index.open_staging, name))

    async def pause_writes(self) -> None:
        """Make writes wait in this process: no other process can write."""
        await self._index.pause_writes()

    async def resume_writes(self) -> None:
        """Let writes continue."""
        self._index.resume_writes()

    async def swap(self, staging: StagingIndex) -> None:
        """Put the folder into use, and let writes continue."""
        await self._index.take_over(cast("EmbeddedStagingIndex", staging).index)
        self._index.resume_writes()

    async def drop(self, name: str) -> None:
        """Delete a folder."""
        await asyncio.to_thread(shutil.rmtree, self._index.folder / name)


def _page(searcher: tantivy.Searcher, at: int) -> list[IndexedVersion]:
    hits = searcher.search(tantivy.Query.all_query(), limit=PAGE, offset=at, count=False).hits
    addresses = [address for _, address in hits]
    versions = searcher.fast_field_values("version", addresses) if addresses else []
    return [
        _indexed_version(searcher.doc(address), version) for address, version in zip(addresses, versions, strict=True)
    ]


def _indexed_version(document: tantivy.Document, version: float | None) -> IndexedVersion:
    return IndexedVersion(str(document.get_first("id")), int(version or 0), document.get_first("article") is None)
