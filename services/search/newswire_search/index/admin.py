"""The port to the admin of an index: comparing it with the records, and putting a new one in its place.

`ElasticsearchIndexAdmin` and `EmbeddedIndexAdmin` stand behind it; one suite of tests holds for both.
"""

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from newswire_search.index.port import Operation, RejectedOperation, WriteStatus


@dataclass(frozen=True, slots=True)
class IndexedVersion:
    """What an index holds under an id, as a search would see it."""

    id: str
    version: int
    retracted: bool


class IndexContents(Protocol):
    """The index operations that a comparison needs. Each method raises `DependencyUnavailableError` while it is down."""

    async def write(self, operations: Sequence[Operation]) -> list[WriteStatus | RejectedOperation]:
        """Write as `newswire_search.index.port.ArticleIndex.write` does."""
        ...

    async def refresh(self) -> None:
        """Have the next `held` and `scan` see everything that is written."""
        ...

    async def lookup(self, ids: Sequence[str]) -> dict[str, IndexedVersion]:
        """Return what is held under these ids (at most some thousands), those that are unknown left out."""
        ...

    def scan(self) -> AsyncIterator[list[IndexedVersion]]:
        """Go through all that is held, in pages, as it is at the beginning."""
        ...


class StagingIndex(IndexContents, Protocol):
    """An index that is being filled beside the one in use; no search sees it."""

    @property
    def name(self) -> str:
        """What it is called among the indexes; it says also for which mapping it is."""
        ...

    async def identity(self) -> str | None:
        """Return what no other index ever has, nor this one after somebody has emptied it."""
        ...

    async def finish(self) -> None:
        """Give it the settings of an index in use, which an index to be filled fast has not, and `refresh` it."""
        ...

    async def close(self) -> None:
        """Let go of threads and locks, if it has not come into use."""
        ...


class IndexAdmin(IndexContents, Protocol):
    """The index in use, and those beside it."""

    async def mismatch(self) -> str | None:
        """Tell why this release cannot use the index that is there: another release has made it. None where it can."""
        ...

    async def in_use(self) -> str | None:
        """Return the name of the index in use; None where there is none of this release's mapping."""
        ...

    async def identity(self) -> str | None:
        """Return what no other index ever has, nor this one after somebody has emptied it; None where none is in use."""
        ...

    async def is_empty(self) -> bool:
        """Tell whether the index in use holds nothing at all."""
        ...

    async def unused(self) -> list[str]:
        """Return the names of the indexes that are not in use."""
        ...

    async def open_staging(self, name: str | None) -> StagingIndex:
        """Open the index of a name that is to come into use; make it where it is missing, under a new name for None."""
        ...

    async def pause_writes(self) -> None:
        """Return once nothing is written any more to any index but the staging one. Writers wait, and lose nothing."""
        ...

    async def resume_writes(self) -> None:
        """Let writers go on that `hold` has made wait."""
        ...

    async def swap(self, staging: StagingIndex) -> None:
        """Have all searches and writes go to the staging index from one moment on, and let writers go on."""
        ...

    async def drop(self, name: str) -> None:
        """Delete an index that is not in use."""
        ...


def next_index_name(stem: str, names: Iterable[str], mapping: int) -> str:
    """Return a name that none of a mapping's indexes bears: ``stem-mapping-serial``."""
    prefix = f"{stem}-{mapping}-"
    serials = [int(name.removeprefix(prefix)) for name in names if name.startswith(prefix)]
    return f"{prefix}{max(serials, default=0) + 1:06d}"
