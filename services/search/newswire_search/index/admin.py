"""The port for the administration of an index: comparison with the records, and replacement by a new one.

`ElasticsearchIndexAdmin` and `EmbeddedIndexAdmin` implement it; one test suite covers both.
"""

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from newswire_search.index.models import Operation, RejectedOperation, WriteStatus


@dataclass(frozen=True, slots=True)
class IndexedVersion:
    """The version that an index contains for an id, as searches see it."""

    id: str
    version: int
    retracted: bool


class IndexContents(Protocol):
    """The index operations that a comparison needs. Each method raises `DependencyUnavailableError` while the index is down."""

    async def write(self, operations: Sequence[Operation]) -> list[WriteStatus | RejectedOperation]:
        """Write a batch; see `newswire_search.index.port.ArticleIndex.write`."""
        ...

    async def refresh(self) -> None:
        """Make everything written visible to the next `lookup` and `scan`."""
        ...

    async def lookup(self, ids: Sequence[str]) -> dict[str, IndexedVersion]:
        """Return the indexed versions of these articles (at most a few thousand), without unknown ids."""
        ...

    def scan(self) -> AsyncIterator[list[IndexedVersion]]:
        """Yield all indexed versions page by page, as of the beginning of the scan."""
        ...


class StagingIndex(IndexContents, Protocol):
    """A new index that is being filled beside the one in use; no search sees it."""

    @property
    def name(self) -> str:
        """Its name, which contains its mapping number."""
        ...

    async def identity(self) -> str | None:
        """Return a token that no other index ever has, nor this one after it was emptied."""
        ...

    async def finish(self) -> None:
        """Give it the settings of an index in use, which differ from those for fast filling, and make it searchable (`refresh`)."""
        ...

    async def close(self) -> None:
        """Release threads and locks, unless it was put into use."""
        ...


class IndexAdmin(IndexContents, Protocol):
    """The index in use, and the other ones."""

    async def mismatch(self) -> str | None:
        """Return why this release cannot use the existing index, which another release made; None if it can."""
        ...

    async def in_use(self) -> str | None:
        """Return the name of the index in use; None if there is none with this release's mapping."""
        ...

    async def identity(self) -> str | None:
        """Return a token that is unique to the index in use, and changes when it is emptied; None if none is in use."""
        ...

    async def is_empty(self) -> bool:
        """Return whether the index in use is empty."""
        ...

    async def unused(self) -> list[str]:
        """Return the names of the indexes that are not in use."""
        ...

    async def open_staging(self, name: str | None) -> StagingIndex:
        """Open the staging index of a name; create it if it is missing, under a new name for None."""
        ...

    async def pause_writes(self) -> None:
        """Return once nothing is written to any index but the staging index. Writers wait; nothing is lost."""
        ...

    async def resume_writes(self) -> None:
        """Let the writers continue that wait because of `pause_writes`."""
        ...

    async def swap(self, staging: StagingIndex) -> None:
        """Point all searches and writes to the staging index in one step, and let writers continue."""
        ...

    async def drop(self, name: str) -> None:
        """Delete an index that is not in use."""
        ...


def next_index_name(stem: str, names: Iterable[str], mapping: int) -> str:
    """Return a new name for an index with a mapping number: ``stem-mapping-serial``."""
    prefix = f"{stem}-{mapping}-"
    serials = [int(name.removeprefix(prefix)) for name in names if name.startswith(prefix)]
    return f"{prefix}{max(serials, default=0) + 1:06d}"
