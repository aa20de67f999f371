"""The index inside the process: tantivy, in one folder, for one machine.

Writes run on one thread of their own (a commit takes tens of ms and would hold up every stream on the event loop),
reads on two others, which clients take turns for. tantivy has neither external versions nor a cursor: versions are compared
here, before writing; pages by relevance, from the second on, are read from a searcher that is held while a cursor may still come
back to it.
"""

import asyncio
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from operator import itemgetter
from pathlib import Path
from typing import Any, TypeVar

import tantivy

from newswire.concurrency.offload import Deadline, Offload
from newswire.filters import Filter
from newswire.messaging.messages import DependencyUnavailableError
from newswire.text.analysis import DEFAULT
from newswire.timestamps import from_epoch_ms
from newswire_search.index.admin import next_index_name
from newswire_search.index.embedded.autocomplete import completions
from newswire_search.index.embedded.facets import facets
from newswire_search.index.embedded.query import among, both, date_range, embedded_query, excluding
from newswire_search.index.embedded.related import related_query
from newswire_search.index.embedded.stored_articles import read_article, stored_values
from newswire_search.index.mapping import (
    DAY_MS,
    FACET_SUFFIX,
    MAPPING_NUMBER,
    TITLE_WORDS,
    WORD_FIELDS,
    WORDS_SUFFIX,
    fields_of,
)
from newswire_search.index.port import (
    FACETS,
    Completion,
    CompletionRequest,
    FacetCount,
    IndexInUseError,
    IndexName,
    Operation,
    Position,
    PublicationDay,
    Publish,
    RejectedOperation,
    Retracted,
    SearchPage,
    SearchRequest,
    SnapshotExpiredError,
    Sort,
    WordMatch,
    WriteStatus,
    languages_of,
)
from newswire_search.index.ranking import recency
from newswire_search.index.snapshots import Snapshots
from newswire_search.query.entitlement import filter_readable

MAX_SNAPSHOTS, MAX_SNAPSHOTS_PER_READER = 64, 16
MAX_READS_WAITING, READ_TIMEOUT_SECONDS = 256, 30.0
"""Reads that wait for a thread, and how long one may take, the waiting included; what is more or longer is refused (503)."""
CANDIDATE_ROUNDS = 5
"""How often more is read from a snapshot to fill a page, where what is read is no longer found."""
WRITER_MEMORY_BYTES = 50_000_000
RECENCY_WINDOW_RESULTS = 200
"""How many of the best results are put in order anew by their age, which tantivy cannot take into a score."""

YEAR_ONE_MS = -62_135_596_800_000
"""The earliest moment an article can bear, in ms since 1970: sort keys count from it, so that they are never negative."""

T = TypeVar("T")
Found = list[tuple[Any, tantivy.DocAddress]]


def _schema() -> tantivy.Schema:
    builder = tantivy.SchemaBuilder()
    builder.add_text_field("id", stored=True, tokenizer_name="raw", index_option="basic")
    builder.add_integer_field("version", fast=True)
    builder.add_boolean_field("retracted", indexed=True)
    for name in ("text", "joined", "title_terms", *(name + WORDS_SUFFIX for name in WORD_FIELDS)):
        builder.add_text_field(name, tokenizer_name="spaces", index_option="position")
    for name in FACETS:
        builder.add_text_field(name, tokenizer_name="raw", index_option="basic")
        builder.add_text_field(name + FACET_SUFFIX, tokenizer_name="raw", index_option="basic", fast=True)
    for name in ("analysis", "whole_title"):
        builder.add_text_field(name, tokenizer_name="raw", index_option="basic")
    for name in ("words", TITLE_WORDS):
        builder.add_text_field(name, tokenizer_name="spaces", index_option="basic")
    builder.add_text_field("metadata", tokenizer_name="raw", index_option="basic")
    for name in ("published_at", "updated_at"):
        builder.add_integer_field(name, indexed=True, fast=True)
    # Sorting takes one field: the time and, among equals, the id.
    builder.add_text_field("moment", tokenizer_name="raw", index_option="basic", fast=True)
    builder.add_bytes_field("article", stored=True)
    return builder.build()


class EmbeddedIndex:
    """`ArticleIndex` on tantivy."""

    name: IndexName = "embedded"

    def __init__(
        self,
        folder: Path,
        *,
        clock: Callable[[], float] = time.monotonic,
        staging: str | None = None,
        read_only: bool = False,
    ) -> None:
        """Open the index in use in a folder, or make it; ``staging`` names another one beside it, which is being filled.

        Raises:
            IndexInUseError: another process has it open, which does not matter where it is only to be read.
        """
        self.folder = folder
        self._schema = _schema()
        folder.mkdir(parents=True, exist_ok=True)
        self.in_use = staging or name_in_use(folder) or begin_index(folder)
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
        self._snapshots: Snapshots[tantivy.Searcher] = Snapshots(MAX_SNAPSHOTS, MAX_SNAPSHOTS_PER_READER, clock)
        self._commits = 0
        """How often what searches see has changed: snapshots of one such state are one snapshot."""
        self._writing = ThreadPoolExecutor(1, thread_name_prefix="index-writer")
        self._reading = Offload("index-reader", max_waiting=MAX_READS_WAITING)

    async def write(self, operations: Sequence[Operation]) -> list[WriteStatus | RejectedOperation]:
        """Write a batch in one commit; it can be found when this returns."""
        await self._writable.wait()
        return await self._write_by(lambda: self._write(operations))

    async def until_visible(self, operations: Sequence[Operation]) -> None:
        """Return at once: `write` answers after the commit was loaded."""

    async def search(self, request: SearchRequest) -> SearchPage:
        """Find published articles."""
        return await self._read(lambda _: self._search(request))

    async def get(self, article_id: str) -> Mapping[str, Any] | Retracted | None:
        """Return what the index holds under an id."""
        return await self._read(lambda _: self._get(self._index.searcher(), article_id))

    async def days(self, request: SearchRequest) -> Sequence[PublicationDay]:
        """Return the days on which the articles of a search were published, oldest first."""
        return await self._read(lambda _: self._days(request))

    async def get_all(
        self, article_ids: Sequence[str], *, with_text: bool = True, with_body: bool = True
    ) -> list[Mapping[str, Any]]:
        """Return those of these articles that are published."""

        def get_all(deadline: Deadline) -> list[Mapping[str, Any]]:
            searcher = self._index.searcher()
            articles: list[Mapping[str, Any]] = []
            for article_id in article_ids:
                found = self._get(searcher, article_id, with_text=with_text, with_body=with_body)
                articles += [found] if isinstance(found, Mapping) else []
                deadline.check()
            return articles

        return await self._read(get_all)

    async def complete(self, request: CompletionRequest) -> list[Completion]:
        """Return titles, topics and authors that hold each of the words."""
        return await self._read(lambda _: completions(self._index.searcher(), self._schema, request, self._languages))

    async def related(
        self, article: Mapping[str, Any], entitlement: Filter | None, limit: int
    ) -> list[Mapping[str, Any]]:
        """Return other articles that share the words most telling of this one."""

        def related(_: Deadline) -> list[Mapping[str, Any]]:
            searcher = self._index.searcher()
            query = related_query(searcher, self._schema, article, entitlement, self._languages)
            hits = searcher.search(query, limit=limit, count=False).hits
            return [_stored(searcher, address, with_text=False, with_body=False) for _, address in hits]

        return await self._read(related)

    async def check(self) -> str | None:
        """Tell whether the last write got through."""
        return None if self._writer is not None else "the embedded index cannot be written"

    async def close(self) -> None:
        """Finish the write in hand, stop the threads and release the folder."""
        await self._write_by(self._stop_writing)
        self._writing.shutdown()
        self._reading.close()
        self._snapshots.clear()

    async def read(self, work: Callable[[tantivy.Searcher], T]) -> T:
        """Read, in a thread, what a search would see now."""
        return await self._read(lambda _: work(self._index.searcher()))

    async def reload(self) -> None:
        """Have searches see what another process has written."""
        await self._read(lambda _: self._reload())

    async def pause_writes(self) -> None:
        """Have writes wait from now on; return once those under way are done."""
        self._writable.clear()
        await self._write_by(lambda: None)

    def resume_writes(self) -> None:
        """Let writes go on."""
        self._writable.set()

    def open_staging(self, name: str | None) -> "EmbeddedIndex":
        """Open another index in the same folder that is to come into use; make it, under a new name for None."""
        return EmbeddedIndex(
            self.folder, staging=name or next_index_name("articles", names(self.folder), MAPPING_NUMBER)
        )

    async def become(self, staging: "EmbeddedIndex") -> None:
        """Take over what another one has open: all searches and writes go there from now on. Writes must be on hold."""

        def take_over() -> None:
            self._stop_writing()
            point_to(self.folder, staging.in_use)
            self._languages = staging._languages
            self._index, self._writer, self.in_use = staging._index, staging._writer, staging.in_use
            staging._writer = None
            self._commits += 1

        await self._write_by(take_over)

    async def _write_by(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._writing, work)

    async def _read(self, work: Callable[[Deadline], T]) -> T:
        return await self._reading.run(work, READ_TIMEOUT_SECONDS)

    def _stop_writing(self) -> None:
        if self._writer is not None:
            self._writer.wait_merging_threads()
            self._writer = None

    def _open_writer(self) -> tantivy.IndexWriter:
        try:
            return self._index.writer(heap_size=WRITER_MEMORY_BYTES, num_threads=1)
        except ValueError as error:
            if "LockBusy" not in str(error):
                raise
            raise IndexInUseError(
                f"another process has the embedded index in {self.folder} open; stop it or use another folder"
            ) from None

    def _write(self, operations: Sequence[Operation]) -> list[WriteStatus | RejectedOperation]:
        searcher = self._index.searcher()
        held: dict[str, int] = {}
        results: list[WriteStatus | RejectedOperation] = []
        documents: list[tuple[str, tantivy.Document]] = []
        for operation in operations:
            if operation.id not in held:
                held[operation.id] = self._version(searcher, operation.id)
            version = held[operation.id]
            if operation.version < version or (operation.version == version and isinstance(operation, Publish)):
                results.append(WriteStatus.SUPERSEDED)
                continue
            documents.append((operation.id, self._document(operation)))
            held[operation.id] = operation.version
            results.append(WriteStatus.APPLIED)
        if documents:
            self._commit(documents)
            # A new set: readers go through this one on threads of their own.
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
            # The documents are sound by construction: this is the disk. A writer that met such an error is of no more use.
            self._writer = None
            raise DependencyUnavailableError(f"embedded index: {error}") from error
        self._reload()

    def _reload(self) -> None:
        self._index.reload()
        self._commits += 1

    def _version(self, searcher: tantivy.Searcher, article_id: str) -> int:
        """Return the version that a searcher sees of an article, retracted or not; -1 where it sees none."""
        address = self._address(searcher, article_id)
        return -1 if address is None else _version(searcher, address)

    def look_up(self, searcher: tantivy.Searcher, article_id: str) -> tuple[tantivy.Document, int] | None:
        """Return what a searcher sees of an article, and its version; None where it sees none."""
        address = self._address(searcher, article_id)
        if address is None:
            return None
        return searcher.doc(address), _version(searcher, address)

    def _address(self, searcher: tantivy.Searcher, article_id: str) -> tantivy.DocAddress | None:
        query = tantivy.Query.term_query(self._schema, "id", article_id, index_option="basic")
        hits = searcher.search(query, limit=1, count=False).hits
        return hits[0][1] if hits else None

    def _document(self, operation: Operation) -> tantivy.Document:
        document = tantivy.Document()
        document.add_text("id", operation.id)
        document.add_integer("version", operation.version)
        document.add_boolean("retracted", not isinstance(operation, Publish))
        if not isinstance(operation, Publish):
            return document
        fields = fields_of(operation.article)
        for name, value in fields.items():
            if isinstance(value, int):
                document.add_integer(name, value)
            else:
                for text in [value] if isinstance(value, str) else value:
                    document.add_text(name, text)
        document.add_text("moment", _moment(fields["published_at"], operation.id))
        for value in stored_values(operation.document):
            document.add_bytes("article", value)
        return document

    def _get(
        self, searcher: tantivy.Searcher, article_id: str, *, with_text: bool = True, with_body: bool = True
    ) -> Mapping[str, Any] | Retracted | None:
        address = self._address(searcher, article_id)
        if address is None:
            return None
        if stored := searcher.doc(address)["article"]:
            return read_article(stored, with_text=with_text, with_body=with_body)
        return Retracted(article_id, _version(searcher, address))

    def _search(self, request: SearchRequest) -> SearchPage:
        commits, live = (
            self._commits,
            self._index.searcher(),
        )  # in this order: the searcher sees that many commits or more
        query = embedded_query(self._schema, request, self._languages)
        if request.sort is Sort.RELEVANCE:
            return self._by_relevance(live, query, request, commits)
        found = self._by_moment(live, query, request)
        page = found[: request.limit]
        articles = [_wanted(live, address, request) for _, address in page]
        following = Position(_key(page[-1][0])) if len(found) > request.limit else None
        return SearchPage(_count(live.search(query, limit=1)), articles, self._facets(live, query, request), following)

    def _days(self, request: SearchRequest) -> list[PublicationDay]:
        per_day = {
            "histogram": {"field": "published_at", "interval": float(DAY_MS), "min_doc_count": 1},
            "aggs": {"updated_at": {"max": {"field": "updated_at"}}},
        }
        query = embedded_query(self._schema, request, self._languages)
        answer = self._index.searcher().aggregate(query, {"days": per_day})
        return [
            PublicationDay(
                from_epoch_ms(found["key"]).date(), found["doc_count"], from_epoch_ms(found["updated_at"]["value"])
            )
            for found in answer["days"]["buckets"]
        ]

    def _by_relevance(
        self, live: tantivy.Searcher, query: tantivy.Query, request: SearchRequest, commits: int
    ) -> SearchPage:
        if request.after is not None:
            return self._next_by_relevance(live, query, request, request.after, commits)
        result, ranked = self._ranked(live, query, request, 0)
        articles = [_wanted(live, address, request) for _, address in ranked[: request.limit]]
        following = None
        if len(ranked) > request.limit and request.word_match is WordMatch.ALL:
            following = Position((), shown=tuple(article["id"] for article in articles))
        return SearchPage(_count(result), articles, self._facets(live, query, request), following)

    def _next_by_relevance(
        self, live: tantivy.Searcher, query: tantivy.Query, request: SearchRequest, after: Position, commits: int
    ) -> SearchPage:
        offset = min(int(after.key[0]), live.num_docs) if after.key else 0
        name, searcher = self._snapshot(live, request.reader, after, commits)
        rest = excluding(self._schema, query, after.shown)
        found: list[tuple[Mapping[str, Any], int]] = []
        more = True
        for _ in range(CANDIDATE_ROUNDS):
            _, ranked = self._ranked(searcher, rest, request, offset)
            ids = [str(searcher.doc(address).get_first("id")) for _, address in ranked]
            found += self._still_found(live, query, request, ids, offset)
            offset += len(ids)
            more = len(ids) > request.limit
            if len(found) > request.limit or not more:
                break
        opened = time.time() if after.opened is None else after.opened
        following = None
        if len(found) > request.limit:
            following = Position((found[request.limit - 1][1] + 1,), name, after.shown, opened=opened)
        elif more:
            following = Position((offset,), name, after.shown, opened=opened)
        articles = [article for article, _ in found[: request.limit]]
        return SearchPage(_count(live.search(query, limit=1)), articles, self._facets(live, query, request), following)

    def _still_found(
        self, live: tantivy.Searcher, query: tantivy.Query, request: SearchRequest, ids: Sequence[str], offset: int
    ) -> list[tuple[Mapping[str, Any], int]]:
        """Return those of some articles, in their order, that the search finds as they are now, each with its place."""
        if not ids:
            return []
        hits = live.search(among(self._schema, query, ids), limit=len(ids), count=False).hits
        current = {article["id"]: article for article in (_wanted(live, address, request) for _, address in hits)}
        admitted = filter_readable(request.entitlement, [current[id_] for id_ in ids if id_ in current])
        places = {id_: place for place, id_ in enumerate(ids, offset)}
        return [(article, places[article["id"]]) for article in admitted]

    def _ranked(
        self, searcher: tantivy.Searcher, query: tantivy.Query, request: SearchRequest, offset: int
    ) -> tuple[tantivy.SearchResult, Found]:
        """Return the results from an offset on, one more than asked for, the best ones put in order by their age as well."""
        wanted = request.limit + 1
        window = RECENCY_WINDOW_RESULTS - (len(request.after.shown) if request.after is not None else 0)
        if request.now is None or offset >= window:
            result = searcher.search(query, limit=wanted, offset=offset)
            return result, result.hits
        result = searcher.search(query, limit=max(window, offset + wanted))
        best, rest = result.hits[:window], result.hits[window:]
        times = searcher.fast_field_values("published_at", [address for _, address in best])
        weighed = [
            (score * recency(int(at or 0), request.now), address)
            for (score, address), at in zip(best, times, strict=True)
        ]
        weighed.sort(key=itemgetter(0), reverse=True)
        return result, [*weighed, *rest][offset : offset + wanted]

    def _by_moment(self, searcher: tantivy.Searcher, query: tantivy.Query, request: SearchRequest) -> Found:
        """Return one result more than asked for, so that the caller sees whether there is a next page."""
        newest = request.sort is Sort.NEWEST
        order = tantivy.Order.Desc if newest else tantivy.Order.Asc
        wanted = request.limit + 1
        if request.after is None:
            return searcher.search(query, limit=wanted, count=False, order_by_field="moment", order=order).hits
        at, article_id = int(request.after.key[0]), str(request.after.key[1])
        last = _moment(at, article_id)
        rest = both(query, date_range(self._schema, None if newest else at, at if newest else None))
        size = wanted + 10
        while True:
            hits = searcher.search(rest, limit=size, count=False, order_by_field="moment", order=order).hits
            beyond = [hit for hit in hits if (hit[0] < last if newest else hit[0] > last)]
            if len(beyond) >= wanted or len(hits) < size:
                return beyond[:wanted]
            # Many articles bear the very time of the last one shown: look further.
            size *= 4

    def _facets(
        self, searcher: tantivy.Searcher, query: tantivy.Query, request: SearchRequest
    ) -> Mapping[str, Sequence[FacetCount]]:
        return facets(searcher, self._schema, query, request, self._languages) if request.with_facets else {}

    def _snapshot(
        self, live: tantivy.Searcher, reader: str, after: Position, commits: int
    ) -> tuple[str, tantivy.Searcher]:
        """Return the snapshot that a position is in, or for a second page one of what is seen now."""
        if after.key:
            held = self._snapshots.use(after.snapshot or "", reader)
            if held is None:
                raise SnapshotExpiredError(after.snapshot)
            return after.snapshot or "", held
        shared = self._snapshots.of_state(commits, reader)
        if shared is not None:
            return shared
        name = secrets.token_urlsafe(9)
        self._snapshots.add(name, live, reader, commits)
        return name, live


def name_in_use(folder: Path) -> str | None:
    """Return the name of the index in use; None where there is none of this release's mapping."""
    try:
        name = _pointer(folder).read_text().strip()
    except FileNotFoundError:
        return None
    return name if (folder / name).is_dir() else None


def names(folder: Path) -> list[str]:
    """Return the names of all indexes in a folder, of whatever mapping."""
    return sorted(path.name for path in folder.glob("articles-*") if path.is_dir())


def begin_index(folder: Path) -> str:
    """Make an empty index, to be used from now on, and return its name."""
    name = next_index_name("articles", names(folder), MAPPING_NUMBER)
    (folder / name).mkdir()
    point_to(folder, name)
    return name


def point_to(folder: Path, name: str) -> None:
    """Say on disk, in one step, which index is in use."""
    unfinished = folder / f"in-use-{MAPPING_NUMBER}.unfinished"
    unfinished.write_text(name + "\n")
    unfinished.replace(_pointer(folder))


def _pointer(folder: Path) -> Path:
    return folder / f"in-use-{MAPPING_NUMBER}"


def _stored(
    searcher: tantivy.Searcher,
    address: tantivy.DocAddress,
    *,
    with_text: bool,
    with_body: bool,
    text_characters: int | None = None,
) -> dict[str, Any]:
    stored = searcher.doc(address)["article"]
    return read_article(stored, with_text=with_text, with_body=with_body, text_characters=text_characters)


def _wanted(searcher: tantivy.Searcher, address: tantivy.DocAddress, request: SearchRequest) -> dict[str, Any]:
    if request.entitlement is not None and request.entitlement.query:  # it is held against the whole text
        return _stored(searcher, address, with_text=True, with_body=request.with_body)
    return _stored(
        searcher,
        address,
        with_text=request.with_text,
        with_body=request.with_body,
        text_characters=request.text_characters,
    )


def _version(searcher: tantivy.Searcher, address: tantivy.DocAddress) -> int:
    (version,) = searcher.fast_field_values("version", [address])
    return int(version or 0)


def _count(result: tantivy.SearchResult) -> int:
    return int(result.count)  # type: ignore[attr-defined]  # the type stub leaves it out


def _moment(at: int, article_id: str) -> str:
    return f"{at - YEAR_ONE_MS:016d}{article_id}"


def _key(moment: str) -> tuple[int, str]:
    return int(moment[:16]) + YEAR_ONE_MS, moment[16:]
