"""The embedded index, inside the process, on tantivy: one folder, for one machine.

Writes run on a thread of their own: a commit takes tens of ms and would delay every stream on the event loop. Reads run on two
other threads, which clients use in turn. tantivy has no external versions: versions are compared here, before writing.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import tantivy

from newswire.concurrency.offload import Deadline, Offload
from newswire.filters import Filter
from newswire.messaging.messages import DependencyUnavailableError
from newswire.text.analysis import DEFAULT
from newswire_search.index.embedded.autocomplete import completions
from newswire_search.index.embedded.documents import (
    address_of,
    article_at,
    create_schema,
    document_of,
    get_article,
    version_at,
    version_of,
)
from newswire_search.index.embedded.folder import create_index, name_in_use, new_index_name, put_into_use
from newswire_search.index.embedded.related import related_query
from newswire_search.index.embedded.search import EmbeddedSearch, IndexState
from newswire_search.index.models import (
    Completion,
    CompletionRequest,
    IndexInUseError,
    IndexName,
    Operation,
    PublicationDay,
    Publish,
    RejectedOperation,
    Retracted,
    SearchPage,
    SearchRequest,
    WriteStatus,
    languages_of,
)
from newswire_search.index.partial_matches import search_one_after_the_other

MAX_READS_WAITING, READ_TIMEOUT_SECONDS = 256, 30.0
"""How many reads may wait for a thread, and how long one may take including its wait; beyond that it is rejected (503)."""
WRITER_MEMORY_BYTES = 50_000_000

T = TypeVar("T")


class EmbeddedIndex:
    """`ArticleIndex` on tantivy."""

    name: IndexName = "embedded"

    def __init__(
        self,
        folder: Path,
        *,
        clock: Callable[[], float] = time.monotonic,
        staging_name: str | None = None,
        read_only: bool = False,
    ) -> None:
        """Open the index in use in a folder, or create it; ``staging_name`` opens another one that is being filled.

        Raises:
            IndexInUseError: another process has it open, and it was not opened ``read_only``.
        """
        self.folder = folder
        self._schema = create_schema()
        folder.mkdir(parents=True, exist_ok=True)
        self.in_use = staging_name or name_in_use(folder) or create_index(folder)
        path = folder / self.in_use
        path.mkdir(exist_ok=True)
        self._index = tantivy.Index(self._schema, path=str(path))
        spaces = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.whitespace()).build()
        self._index.register_tokenizer("spaces", spaces)
        self._writer: tantivy.IndexWriter | None = None if read_only else self._open_writer()
        self._index.config_reader(reload_policy="manual")
        self._index.reload()
        self._writable = asyncio.Event()
        self._writable.set()
        self._languages = {term for term, _ in self._index.searcher().terms_with_prefix("analysis", "")} or {DEFAULT}
        self._search = EmbeddedSearch(self._schema, clock)
        self._commits = 0
        """How often the state that searches see has changed."""
        self._writing = ThreadPoolExecutor(1, thread_name_prefix="index-writer")
        self._reading = Offload("index-reader", max_waiting=MAX_READS_WAITING)

    async def write(self, operations: Sequence[Operation]) -> list[WriteStatus | RejectedOperation]:
        """Write a batch in one commit; searches see it when this returns."""
        await self._writable.wait()
        return await self._run_write(lambda: self._write(operations))

    async def until_visible(self, operations: Sequence[Operation]) -> None:
        """Return immediately: `write` returns after the commit was loaded."""

    async def search(self, request: SearchRequest) -> SearchPage:
        """Find published articles."""
        return await self._run_read(lambda _: self._search.search(self._state(), request))

    async def search_with_partial_matches(self, request: SearchRequest) -> tuple[SearchPage, SearchPage | None]:
        """Find published articles, and then partial matches; each search has a deadline of its own."""
        return await search_one_after_the_other(self.search, request)

    async def search_all(self, requests: Sequence[SearchRequest]) -> list[SearchPage]:
        """Run several searches; each has a deadline of its own."""
        return list(await asyncio.gather(*map(self.search, requests)))

    async def get(self, article_id: str) -> Mapping[str, Any] | Retracted | None:
        """Return the document of an id."""
        return await self._run_read(lambda _: get_article(self._index.searcher(), self._schema, article_id))

    async def days(self, request: SearchRequest) -> Sequence[PublicationDay]:
        """Return the days on which the articles of a search were published, oldest first."""
        return await self._run_read(lambda _: self._search.days(self._state(), request))

    async def get_all(
        self, article_ids: Sequence[str], *, with_text: bool = True, with_body: bool = True
    ) -> list[Mapping[str, Any]]:
        """Return those of these articles that are published."""

        def get_all(deadline: Deadline) -> list[Mapping[str, Any]]:
            searcher = self._index.searcher()
            articles: list[Mapping[str, Any]] = []
            for article_id in article_ids:
                found = get_article(searcher, self._schema, article_id, with_text=with_text, with_body=with_body)
                articles += [found] if isinstance(found, Mapping) else []
                deadline.check()
            return articles

        return await self._run_read(get_all)

    async def complete(self, request: CompletionRequest) -> list[Completion]:
        """Return titles, topics and authors that contain each of the words."""
        return await self._run_read(
            lambda _: completions(self._index.searcher(), self._schema, request, self._languages)
        )

    async def related(
        self, article: Mapping[str, Any], entitlement: Filter | None, limit: int
    ) -> list[Mapping[str, Any]]:
        """Return other articles that share the most significant words of this one."""

        def related(_: Deadline) -> list[Mapping[str, Any]]:
            searcher = self._index.searcher()
            query = related_query(searcher, self._schema, article, entitlement, self._languages)
            hits = searcher.search(query, limit=limit, count=False).hits
            return [article_at(searcher, address, with_text=False, with_body=False) for _, address in hits]

        return await self._run_read(related)

    async def check(self) -> str | None:
        """Return why the last write failed, or None if it succeeded."""
        return None if self._writer is not None else "the embedded index cannot be written"

    async def close(self) -> None:
        """Finish the current write, stop the threads and release the folder."""
        await self._run_write(self._close_writer)
        self._writing.shutdown()
        self._reading.close()
        self._search.snapshots.clear()

    async def read(self, work: Callable[[tantivy.Searcher], T]) -> T:
        """Run a read in a thread, on what a search would see now."""
        return await self._run_read(lambda _: work(self._index.searcher()))

    async def reload(self) -> None:
        """Make searches see what another process has written."""
        await self._run_read(lambda _: self._reload())

    async def pause_writes(self) -> None:
        """Make new writes wait; return once those in progress are done."""
        self._writable.clear()
        await self._run_write(lambda: None)

    def resume_writes(self) -> None:
        """Let writes continue."""
        self._writable.set()

    def open_staging(self, name: str | None) -> "EmbeddedIndex":
        """Open a staging index in the same folder; create one under a new name for None."""
        return EmbeddedIndex(self.folder, staging_name=name or new_index_name(self.folder))

    async def take_over(self, staging: "EmbeddedIndex") -> None:
        """Put a staging index into use: all searches and writes use it from now on. Writes must be paused."""

        def take_over() -> None:
            self._close_writer()
            put_into_use(self.folder, staging.in_use)
            self._languages = staging._languages
            self._index, self._writer, self.in_use = staging._index, staging._writer, staging.in_use
            staging._writer = None
            self._commits += 1

        await self._run_write(take_over)

    def look_up(self, searcher: tantivy.Searcher, article_id: str) -> tuple[tantivy.Document, int] | None:
        """Return the document that a searcher sees of an article, and its version; None if it sees none."""
        address = address_of(searcher, self._schema, article_id)
        if address is None:
            return None
        return searcher.doc(address), version_at(searcher, address)

    def _state(self) -> IndexState:
        commits = self._commits  # before the searcher, which then sees at least this many commits
        return IndexState(self._index.searcher(), commits, self._languages)

    async def _run_write(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._writing, work)

    async def _run_read(self, work: Callable[[Deadline], T]) -> T:
        return await self._reading.run(work, READ_TIMEOUT_SECONDS)

    def _open_writer(self) -> tantivy.IndexWriter:
        try:
            return self._index.writer(heap_size=WRITER_MEMORY_BYTES, num_threads=1)
        except ValueError as error:
            if "LockBusy" not in str(error):
                raise
            raise IndexInUseError(
                f"another process has the embedded index in {self.folder} open; stop it or use another folder"
            ) from None

    def _close_writer(self) -> None:
        if self._writer is not None:
            self._writer.wait_merging_threads()
            self._writer = None

    def _write(self, operations: Sequence[Operation]) -> list[WriteStatus | RejectedOperation]:
        searcher = self._index.searcher()
        versions: dict[str, int] = {}
        results: list[WriteStatus | RejectedOperation] = []
        documents: list[tuple[str, tantivy.Document]] = []
        for operation in operations:
            if operation.id not in versions:
                versions[operation.id] = version_of(searcher, self._schema, operation.id)
            version = versions[operation.id]
            if operation.version < version or (operation.version == version and isinstance(operation, Publish)):
                results.append(WriteStatus.SUPERSEDED)
                continue
            documents.append((operation.id, document_of(operation)))
            versions[operation.id] = operation.version
            results.append(WriteStatus.APPLIED)
        if documents:
            self._commit(documents)
            # A new set: reader threads iterate over the old one.
            self._languages = self._languages | languages_of(operations)
        return results

    def _commit(self, documents: Sequence[tuple[str, tantivy.Document]]) -> None:
        try:
            if self._writer is None:
                self._writer = self._open_writer()
            for article_id, document in documents:
                self._writer.delete_documents_by_term("id", article_id)
                self._writer.add_document(document)
            self._writer.commit()
        except (ValueError, OSError, IndexInUseError) as error:
            # The documents are valid by construction, so this is a disk error. A writer cannot be used after such an
            # error.
            self._writer = None
            raise DependencyUnavailableError(f"embedded index: {error}") from error
        self._reload()

    def _reload(self) -> None:
        self._index.reload()
        self._commits += 1
