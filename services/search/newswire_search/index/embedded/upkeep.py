"""The upkeep of the embedded index.

Each index is a folder ``articles-mapping-serial``; the file ``in-use-mapping`` says which one is in use. Only the process that
has the index open can put another one in its place; any other may read it.
"""

import asyncio
import secrets
import shutil
from collections.abc import AsyncIterator, Sequence
from typing import cast

import tantivy

from newswire_search.index.embedded.index import EmbeddedIndex, names
from newswire_search.index.port import Operation, Refused, Written
from newswire_search.index.upkeep import Coming, Held

PAGE = 2000
IDENTITY = "identity"


class EmbeddedContents:
    """`newswire_search.index.upkeep.Contents` of an embedded index."""

    def __init__(self, index: EmbeddedIndex) -> None:
        self._index = index

    async def write(self, operations: Sequence[Operation]) -> list[Written | Refused]:
        """Write a batch."""
        return await self._index.write(operations)

    async def refresh(self) -> None:
        """Load what has been committed, by this process or another one."""
        await self._index.reload()

    async def held(self, ids: Sequence[str]) -> dict[str, Held]:
        """Look the ids up."""
        found = await self._index.read(
            lambda searcher: [self._index.look_up(searcher, article_id) for article_id in dict.fromkeys(ids)]
        )
        return {held.id: held for held in (_held(*seen) for seen in found if seen is not None)}

    async def all_held(self) -> AsyncIterator[list[Held]]:
        """Go through what one searcher sees."""
        searcher = await self._index.read(lambda searcher: searcher)
        at = 0
        while page := await self._index.read(lambda _, at=at: _page(searcher, at)):  # type: ignore[misc]
            yield page
            at += len(page)

    async def identity(self) -> str | None:
        """Return the token that was written into the index's folder when it was first asked for."""
        return await asyncio.to_thread(self._identity)

    def _identity(self) -> str:
        file = self._index.folder / self._index.in_use / IDENTITY
        if not file.exists():
            unfinished = file.with_name(f"{IDENTITY}.unfinished")
            unfinished.write_text(secrets.token_hex(12))
            unfinished.replace(file)
        return file.read_text()


class EmbeddedComing(EmbeddedContents):
    """`newswire_search.index.upkeep.Coming` in a folder of its own."""

    def __init__(self, index: EmbeddedIndex) -> None:
        super().__init__(index)
        self.index = index
        self.name = index.in_use

    async def finish(self) -> None:
        """Nothing is different while it is filled."""
        await self.refresh()

    async def close(self) -> None:
        """Stop its threads, and release the folder unless another one has taken it over."""
        await self.index.close()


class EmbeddedUpkeep(EmbeddedContents):
    """`newswire_search.index.upkeep.Upkeep` of the index that this process has open."""

    async def mismatch(self) -> str | None:
        """Return None: the index of this release's mapping is made when it is opened, and filled by whoever opened it."""
        return None

    async def in_use(self) -> str | None:
        """Return the name of the folder."""
        return self._index.in_use

    async def empty(self) -> bool:
        """Count."""
        return bool(await self._index.read(lambda searcher: searcher.num_docs) == 0)

    async def others(self) -> list[str]:
        """Return the names of the other folders."""
        return [name for name in await asyncio.to_thread(names, self._index.folder) if name != self._index.in_use]

    async def beside(self, name: str | None) -> Coming:
        """Open or make a folder."""
        return EmbeddedComing(await asyncio.to_thread(self._index.beside, name))

    async def hold(self) -> None:
        """Have writes wait in this process: no other can write."""
        await self._index.hold()

    async def release(self) -> None:
        """Let writes go on."""
        self._index.release()

    async def swap(self, coming: Coming) -> None:
        """Take the folder over, and let writes go on."""
        await self._index.become(cast("EmbeddedComing", coming).index)
        self._index.release()

    async def drop(self, name: str) -> None:
        """Delete a folder."""
        await asyncio.to_thread(shutil.rmtree, self._index.folder / name)


def _page(searcher: tantivy.Searcher, at: int) -> list[Held]:
    hits = searcher.search(tantivy.Query.all_query(), limit=PAGE, offset=at, count=False).hits
    addresses = [address for _, address in hits]
    versions = searcher.fast_field_values("version", addresses) if addresses else []
    return [_held(searcher.doc(address), version) for address, version in zip(addresses, versions, strict=True)]


def _held(document: tantivy.Document, version: float | None) -> Held:
    return Held(str(document.get_first("id")), int(version or 0), document.get_first("article") is None)
