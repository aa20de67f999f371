"""Reads articles from the store: by id, by external id, in lists, and version by version."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson
from redis.asyncio import Redis

from newswire.article import Status
from newswire.keys import Keyspace
from newswire.storage.article_records import (
    ArticleState,
    read_article_state,
    read_article_states,
    unpack,
    version_document,
)
from newswire.storage.document_archive import NO_ARCHIVE, DocumentArchive, DocumentUnavailableError

MAX_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class StoredArticle:
    """An article as stored."""

    state: ArticleState
    content: bytes | None
    """The document of its last version, or of its scheduled first one; None if it is retracted or cannot be read."""
    unavailable: DocumentUnavailableError | None = None
    """Why the document cannot be read."""

    @property
    def document(self) -> bytes | None:
        """The document; None if the article is retracted.

        Raises:
            newswire.storage.document_archive.DocumentUnavailableError: it is in the archive, which cannot be read.
        """
        if self.unavailable is not None:
            raise self.unavailable
        return self.content


@dataclass(frozen=True, slots=True)
class WriteTokens:
    """The write tokens of a version and of the scheduled version; None for one that does not exist."""

    version: str | None
    scheduled: str | None
    revision: int
    """The revision of the scheduled version; 0 if there is none."""


class ArticleReader:
    """Reads the articles of all publishers in one Redis."""

    def __init__(self, redis: "Redis", keys: Keyspace, archive: DocumentArchive = NO_ARCHIVE) -> None:
        self._redis = redis
        self._keys = keys
        self._archive = archive

    async def time(self) -> datetime:
        """Return the time of the server, the clock that all processes share, in milliseconds."""
        seconds, microseconds = await self._redis.time()
        return datetime.fromtimestamp(seconds, tz=UTC).replace(microsecond=microseconds // 1000 * 1000)

    async def find_by_external_id(self, publisher: str, external_id: str) -> str | None:
        """Return the id of the article with an external id of a publisher."""
        found = await self._redis.hget(self._keys.external(publisher), external_id)
        return found.decode() if found else None

    async def find(self, article_id: str) -> StoredArticle | None:
        """Return an article with the document of its last or scheduled version; no document once it is erased."""
        state = await read_article_state(self._redis, self._keys, article_id)
        for _ in range(MAX_ATTEMPTS):
            if state is None or state.status is Status.RETRACTED:
                break
            try:
                document = await self._document(state)
            except DocumentUnavailableError as error:
                return StoredArticle(state, None, error)
            if document is not None:
                return StoredArticle(state, document)
            state = await read_article_state(self._redis, self._keys, article_id)  # it changed between the two reads
        return StoredArticle(state, None) if state else None

    async def states(self, article_ids: Sequence[str]) -> dict[str, ArticleState]:
        """Return the states of the articles that exist, by id."""
        return await read_article_states(self._redis, self._keys, article_ids)

    async def packed_document(self, article_id: str) -> bytes | None:
        """Return the document of an article's last or scheduled version in its stored form; None without one."""
        state = (await self.states([article_id])).get(article_id)
        if state is None or state.status is Status.RETRACTED:
            return None
        is_scheduled = state.status is Status.SCHEDULED
        name = self._keys.scheduled(article_id) if is_scheduled else self._keys.version(article_id, state.version)
        return await self._archive.resolve(article_id, state.version, await self._redis.hget(name, "document"))

    async def labels(self, article_id: str) -> tuple[str | None, list[str]]:
        """Return the category and the topics of an article's last version, which its state repeats."""
        stored = await self._redis.hget(self._keys.article(article_id), "labels") or b""
        lines = [line.split("\t") for line in stored.decode().split("\n") if line]
        categories = [line[-1] for line in lines if line[0] == "category"]
        return next(iter(categories), None), [line[-1] for line in lines if line[0] != "category"]

    async def write_tokens(self, article_id: str, version: int) -> WriteTokens:
        """Return the write tokens of one version of an article, and of its scheduled version."""
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.hget(self._keys.version(article_id, version), "write_token")
            pipe.hmget(self._keys.scheduled(article_id), "write_token", "revision")
            of_version, (of_scheduled, revision) = await pipe.execute()
        return WriteTokens(
            of_version.decode() if of_version else None,
            of_scheduled.decode() if of_scheduled else None,
            int(revision) if revision else 0,
        )

    async def find_all(self, article_ids: Sequence[str]) -> list[StoredArticle]:
        """Return the articles that exist, as `find` does."""
        return [found for found in await asyncio.gather(*map(self.find, article_ids)) if found]

    async def _document(self, state: ArticleState) -> bytes | None:
        if state.status is Status.PUBLISHED:
            return await version_document(self._redis, self._keys, state.id, state.version, self._archive)
        revision, document = await self._redis.hmget(self._keys.scheduled(state.id), "revision", "document")
        return unpack(document) if revision and int(revision) == state.revision else None

    async def list_articles(
        self, publisher: str, statuses: Sequence[Status], before: str | None, limit: int
    ) -> list[str]:
        """Return the ids of a publisher's articles, newest first, starting before an id."""
        async with self._redis.pipeline(transaction=False) as pipe:
            for status in statuses:
                name = self._keys.articles_of(publisher, status)
                pipe.zrange(name, f"({before}" if before else "+", "-", desc=True, bylex=True, offset=0, num=limit)
            found = await pipe.execute()
        return sorted({article_id.decode() for ids in found for article_id in ids}, reverse=True)[:limit]

    async def list_versions(self, article_id: str, newest: int, oldest: int) -> list[dict[str, Any]]:
        """Return the summaries of these versions, newest first, without erased ones."""
        async with self._redis.pipeline(transaction=False) as pipe:
            for number in range(newest, oldest - 1, -1):
                pipe.hget(self._keys.version(article_id, number), "about")
            found = await pipe.execute()
        numbered = zip(range(newest, oldest - 1, -1), found, strict=True)
        # That of an archived version is without its number.
        return [{"version": number} | orjson.loads(about) for number, about in numbered if about]

    async def version(self, article_id: str, number: int) -> bytes | None:
        """Return one version's document, or None if it was erased or never existed."""
        return await version_document(self._redis, self._keys, article_id, number, self._archive)
