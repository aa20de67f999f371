"""Article records, the source of truth: article states, and version documents compressed to a third of their size.

For code that needs the current state: reindexing, retries and replays.
"""

import re
import threading
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import zstandard
from redis.asyncio import Redis

from newswire.article import Status, Tombstone
from newswire.events import ArticlePublished
from newswire.keys import Keyspace
from newswire.storage.document_archive import NO_ARCHIVE, DocumentArchive, Numbered, Pointer

LEVEL = 3
_BEGINNING_BYTES = 16 * 1024
"""Of a document: the title is in it, because only short members precede it."""
_TITLE = re.compile(rb'"title":\s*("(?:[^"\\]|\\.)*")')


class _Zstandard(threading.local):
    """A compressor and a decompressor for each thread: using one in two threads at once corrupts the data of both."""

    def __init__(self) -> None:
        self.compressor = zstandard.ZstdCompressor(level=LEVEL)
        self.decompressor = zstandard.ZstdDecompressor()


_zstandard = _Zstandard()


def pack(document: bytes) -> bytes:
    """Return a version document in its stored form: a Zstandard frame (RFC 8878)."""
    return _zstandard.compressor.compress(document)


def compressed(stored: bytes) -> bytes:
    """Return a stored version document in the form that `pack` returns. Old records are not compressed."""
    return stored if stored.startswith(zstandard.FRAME_HEADER) else pack(stored)


def unpack(stored: bytes) -> bytes:
    """Return the JSON of a stored version document. Old records are not compressed."""
    return _zstandard.decompressor.decompress(stored) if stored.startswith(zstandard.FRAME_HEADER) else stored


def stored_title(stored: bytes) -> str:
    """Return the title in a stored version document, of which only the beginning is unpacked; empty where that has none."""
    beginning = stored[:_BEGINNING_BYTES]
    if stored.startswith(zstandard.FRAME_HEADER):
        with _zstandard.decompressor.stream_reader(stored) as reader:
            beginning = reader.read(_BEGINNING_BYTES)
    found = _TITLE.search(beginning)
    return str(orjson.loads(found[1])) if found else ""


def unpacked_size(stored: bytes) -> int:
    """Return the size of the result of `unpack` without unpacking: repetitive text may be compressed to a thousandth."""
    if pointer := Pointer.read(stored):
        return pointer.unpacked_bytes
    if not stored.startswith(zstandard.FRAME_HEADER):
        return len(stored)
    return int(zstandard.frame_content_size(stored))


@dataclass(frozen=True, slots=True)
class ArticleState:
    """The current state of an article."""

    id: str
    status: Status
    version: int
    revision: int
    publisher: str
    external_id: str | None
    fingerprint: str
    tombstone: Tombstone | None
    published_at: str | None = None
    updated_at: str | None = None
    source_version: int | None = None
    embargo_until: str | None = None
    """When a scheduled article is to be published (RFC 3339)."""
    retracted_by: str | None = None
    """``operator`` if an operator retracted it; its publisher cannot publish it again."""
    held: str | None = None
    """Why a scheduled article was not published when it was due: ``account_disabled``."""

    @property
    def revision_tag(self) -> str:
        """The identity of this state: ``version-revision``. It is never reused."""
        return f"{self.version}-{self.revision}"


def parse_article_state(fields: dict[bytes, bytes]) -> ArticleState | None:
    """Read the state of an article from its hash; None for an empty hash."""
    if not fields:
        return None
    tombstone = fields.get(b"tombstone")
    return ArticleState(
        id=fields[b"id"].decode(),
        status=Status(fields[b"status"].decode()),
        version=int(fields[b"version"]),
        revision=int(fields.get(b"revision", b"0")),
        publisher=fields[b"publisher"].decode(),
        external_id=fields[b"external_id"].decode() if fields.get(b"external_id") else None,
        fingerprint=fields.get(b"fingerprint", b"").decode(),
        tombstone=Tombstone.model_validate_json(tombstone) if tombstone else None,
        published_at=fields[b"published_at"].decode() if fields.get(b"published_at") else None,
        updated_at=fields[b"updated_at"].decode() if fields.get(b"updated_at") else None,
        source_version=int(fields[b"source_version"]) if fields.get(b"source_version") else None,
        embargo_until=fields[b"embargo_until"].decode() if fields.get(b"embargo_until") else None,
        retracted_by=fields[b"retracted_by"].decode() if fields.get(b"retracted_by") else None,
        held=fields[b"held"].decode() if fields.get(b"held") else None,
    )


async def read_article_state(redis: "Redis", keys: Keyspace, article_id: str) -> ArticleState | None:
    """Return the state of an article, or None if it does not exist, or the id is invalid."""
    if not article_id.isalnum():  # other characters could address a record of another kind
        return None
    fields: dict[Any, Any] = await redis.hgetall(keys.article(article_id))
    return parse_article_state(fields)


async def version_document(
    redis: "Redis", keys: Keyspace, article_id: str, version: int, archive: DocumentArchive = NO_ARCHIVE
) -> bytes | None:
    """Return one version as the JSON of its event's data, or None if it was erased or never existed.

    Raises:
        newswire.storage.document_archive.DocumentUnavailableError: it is archived, and the archive cannot be read.
    """
    stored: bytes | None = await redis.hget(keys.version(article_id, version), "document")
    found = await archive.resolve(article_id, version, stored)
    return None if found is None else unpack(found)


async def read_version(
    redis: "Redis", keys: Keyspace, article_id: str, version: int, archive: DocumentArchive = NO_ARCHIVE
) -> ArticlePublished | None:
    """Return one version, or None if it was erased or never existed.

    Raises:
        newswire.storage.document_archive.DocumentUnavailableError: it is archived, and the archive cannot be read.
    """
    document = await version_document(redis, keys, article_id, version, archive)
    return ArticlePublished.model_validate_json(document) if document else None


async def read_article_states(redis: "Redis", keys: Keyspace, ids: Sequence[str]) -> dict[str, ArticleState]:
    """Return the states of the existing articles, by id, in one round trip."""
    async with redis.pipeline(transaction=False) as pipe:
        for article_id in ids:
            pipe.hgetall(keys.article(article_id))
        found = await pipe.execute()
    states = (parse_article_state(fields) for fields in found)
    return {state.id: state for state in states if state is not None}


async def unresolved_documents(redis: "Redis", keys: Keyspace, versions: Sequence[Numbered]) -> list[bytes | None]:
    """Return what Redis has of the documents of these versions, in one round trip: those that are archived as pointers."""
    async with redis.pipeline(transaction=False) as pipe:
        for article_id, version in versions:
            pipe.hget(keys.version(article_id, version), "document")
        found: list[bytes | None] = await pipe.execute()
    return found


async def stored_documents(
    redis: "Redis",
    keys: Keyspace,
    versions: Sequence[Numbered],
    archive: DocumentArchive = NO_ARCHIVE,
    *,
    without_unavailable: bool = False,
) -> list[bytes | None]:
    """Return the documents of these versions in their stored form; None for each that was erased, never existed, or is lost.

    Those in Redis are read in one round trip. ``without_unavailable``: leave out what the archive does not return now.

    Raises:
        newswire.storage.document_archive.DocumentUnavailableError: one is archived, and the archive cannot be read.
    """
    found = await unresolved_documents(redis, keys, versions)
    return await archive.resolve_all(versions, found, without_unavailable=without_unavailable)


async def version_documents(
    redis: "Redis",
    keys: Keyspace,
    versions: Sequence[Numbered],
    archive: DocumentArchive = NO_ARCHIVE,
) -> dict[Numbered, bytes]:
    """Return the existing versions as the JSON of their events' data: see `stored_documents`."""
    found = await stored_documents(redis, keys, versions, archive)
    return {
        version: unpack(document) for version, document in zip(versions, found, strict=True) if document is not None
    }


async def article_ids(redis: "Redis", keys: Keyspace, page: int = 1000) -> AsyncIterator[str]:
    """Yield the ids of all articles, oldest first, including articles added meanwhile; it ends at the newest one it reaches.

    Scheduled and retracted articles are included; the state has the status.
    """
    async for ids, _ in article_pages(redis, keys, page):
        for article_id in ids:
            yield article_id


async def article_pages(
    redis: "Redis", keys: Keyspace, page: int = 1000, *, since: float = float("-inf")
) -> AsyncIterator[tuple[list[str], float]]:
    """Yield pages of the ids of all articles, as `article_ids` does, each with the creation time of its last article, in ms.

    Restarting with that time as ``since`` misses no article, and repeats some of that page.
    """
    seen: set[bytes] = set()
    ended = False
    while not ended:
        count = page + len(seen)
        found = await redis.zrange(keys.articles, since, "+inf", byscore=True, offset=0, num=count, withscores=True)
        # Reading until nothing is left would never end if articles are created faster than they are read.
        ended = len(found) < count
        fresh = [article_id for article_id, _ in found if article_id not in seen]
        if not fresh:
            return
        since = float(found[-1][1])
        seen = {article_id for article_id, score in found if score == since}
        yield [article_id.decode() for article_id in fresh], since


async def articles_after(
    redis: "Redis", keys: Keyspace, created: int, article_id: str, limit: int
) -> list[tuple[str, int]]:
    """Return the articles that follow one (creation time in ms, and id) in the order of `article_ids`.

    Each comes with its creation time. An empty id starts before the first article.
    """
    start = 0
    if article_id:
        async with redis.pipeline(transaction=True) as pipe:
            pipe.zrank(keys.articles, article_id)
            pipe.zcount(keys.articles, "-inf", f"({created}")
            rank, earlier = await pipe.execute()
        start = earlier if rank is None else rank + 1  # an article cancelled meanwhile has no rank
    found = await redis.zrange(keys.articles, start, start + limit - 1, withscores=True)
    return [(raw.decode(), int(score)) for raw, score in found]
