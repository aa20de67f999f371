"""The records of the archive in Redis."""

import secrets
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from hashlib import sha1
from typing import Any

import orjson
from redis.asyncio import Redis

from newswire.keys import Keyspace
from newswire.storage.article_records import article_pages
from newswire.storage.document_archive import Pointer
from newswire.storage.redis_functions import Call, FunctionLibrary, LuaSource
from newswire.timestamps import redis_time_ms
from newswire_ingest.archive.models import ArchiveState, OldVersion, OldVersions, Pass

LUA = LuaSource("newswire_ingest.archive", "archive")
WRITE_LEASE_MS = 120_000
ERASURE_LEASE_MS = 60_000
PASS_LEASE_SECONDS = 60
MAX_VERSIONS = 20
"""Versions of an article that are archived at a time."""
MAX_AGED = 1000
"""Retracted articles whose age is looked at for the metric of overdue erasures."""


class ArchiveRepository:
    """Finds old versions, and records what is archived and erased."""

    def __init__(self, redis: "Redis", keys: Keyspace) -> None:
        self._redis = redis
        self._keys = keys
        self._functions = FunctionLibrary.packaged(redis, keys.namespace, LUA)

    @property
    def namespace(self) -> str:
        """The namespace of the installation."""
        return self._keys.namespace

    async def installation(self) -> str:
        """Return the id of the installation, which the first call makes: `newswire_ingest.archive.ownership`."""
        await self._redis.set(self._key("owner"), secrets.token_hex(16), nx=True)
        return str((await self._redis.get(self._key("owner"))).decode())

    async def now_ms(self) -> int:
        """Return the time of the server."""
        return await redis_time_ms(self._redis)

    def pages(self, size: int, since: float | None) -> AsyncIterator[tuple[list[str], float]]:
        """Yield the ids of all articles as `newswire.storage.article_records.article_pages` does."""
        start = float("-inf") if since is None else since
        return article_pages(self._redis, self._keys, size, since=start)

    async def unarchived(self, ids: Sequence[str]) -> dict[str, tuple[int, int]]:
        """Return the published articles that have versions in Redis: the numbers of the first and the last one."""
        async with self._redis.pipeline(transaction=False) as pipe:
            for article in ids:
                pipe.hmget(self._keys.article(article), "status", "version", "archived")
            states = await pipe.execute()
        found = {}
        for article, (status, version, archived) in zip(ids, states, strict=True):
            first, last = int(archived or 0) + 1, int(version or 0)
            if status == b"published" and first <= last:
                found[article] = (first, min(last, first + MAX_VERSIONS - 1))
        return found

    async def old_versions(self, articles: dict[str, tuple[int, int]], before: datetime) -> list[OldVersions]:
        """Return the versions of these articles that were published before a time."""
        numbered = [
            (article, number) for article, (first, last) in articles.items() for number in range(first, last + 1)
        ]
        async with self._redis.pipeline(transaction=False) as pipe:
            for article, number in numbered:
                pipe.hmget(self._keys.version(article, number), "document", "about")
            read = await pipe.execute()
        by_article: dict[str, list[tuple[int, Any, Any]]] = {}
        for (article, number), (document, about) in zip(numbered, read, strict=True):
            by_article.setdefault(article, []).append((number, document, about))
        found = [_old_versions(article, versions, before) for article, versions in by_article.items()]
        return [each for each in found if each is not None]

    async def begin(self, articles: Sequence[OldVersions]) -> tuple[list[OldVersions], int]:
        """Lease articles; return those that are not retracted or being erased, and how many other processes have leased."""
        now = await self.now_ms()
        calls = [
            Call(
                "begin",
                [self._keys.article(each.article), self._keys.archive_erasures, self._key("writing")],
                {"id": each.article, "now": now, "expires": now + WRITE_LEASE_MS},
            )
            for each in articles
        ]
        verdicts = await self._call_all(calls)
        begun = [each for each, verdict in zip(articles, verdicts, strict=True) if verdict == b"OK"]
        return begun, verdicts.count(b"BUSY")

    async def swap(self, articles: Sequence[tuple[OldVersions, Sequence[Pointer]]]) -> int:
        """Replace the documents of articles by pointers; return how many were replaced."""
        calls = []
        for found, pointers in articles:
            state = self._keys.article(found.article)
            keys = [state, self._key("writing"), self._keys.archive_totals]
            keys += [self._keys.version(found.article, version.number) for version in found.versions]
            versions = [
                {
                    "digest": sha1(version.document, usedforsecurity=False).hexdigest(),
                    "pointer": pointer.written(),
                    "bytes": pointer.stored_bytes,
                    "about": version.summary.decode(),
                }
                for version, pointer in zip(found.versions, pointers, strict=True)
            ]
            calls.append(
                Call("swap", keys, {"id": found.article, "archived": str(found.archived), "versions": versions})
            )
        return sum(await self._call_all(calls))

    async def is_marked(self) -> bool:
        """Return whether the archive has its marker (`newswire.storage.document_archive.MARKER`)."""
        return bool(await self._redis.hexists(self._keys.archive_totals, "marked"))

    async def mark(self) -> None:
        """Record that the archive has its marker."""
        await self._redis.hset(self._keys.archive_totals, "marked", 1)

    async def claim_erasures(self, limit: int) -> list[str]:
        """Take articles whose texts are to be deleted from the archive now."""
        now = await self.now_ms()
        arguments = {"now": now, "expires": now + ERASURE_LEASE_MS, "limit": limit}
        found = await self._functions.call("claim_erasures", [self._keys.archive_erasures], arguments)
        return [article.decode() for article in found]

    async def erased(self, article: str) -> bool:
        """Record that the texts of an article were deleted; return False if that is to be repeated."""
        keys = [self._keys.archive_erasures, self._key("writing")]
        return bool(await self._functions.call("erased", keys, {"id": article, "now": await self.now_ms()}))

    async def erasure_age_ms(self) -> int:
        """Return how long ago the first of these articles was retracted: up to `MAX_AGED` of those that are due next."""
        waiting = await self._redis.zrange(self._keys.archive_erasures, 0, MAX_AGED - 1)
        async with self._redis.pipeline(transaction=False) as pipe:
            for article in waiting:
                pipe.hget(self._keys.article(article.decode()), "updated_at")
            moments = [datetime.fromisoformat(found.decode()) for found in await pipe.execute() if found]
        oldest = min((moment.timestamp() * 1000 for moment in moments), default=None)
        return 0 if oldest is None else max(0, await self.now_ms() - int(oldest))

    async def pointers(self, ids: Sequence[str]) -> list[tuple[str, int, bytes]]:
        """Return article, version and pointer of everything that is archived of these articles."""
        async with self._redis.pipeline(transaction=False) as pipe:
            for article in ids:
                pipe.hmget(self._keys.article(article), "status", "archived")
            states = await pipe.execute()
        numbered = [
            (article, number)
            for article, (status, archived) in zip(ids, states, strict=True)
            if status == b"published"
            for number in range(1, int(archived or 0) + 1)
        ]
        async with self._redis.pipeline(transaction=False) as pipe:
            for article, number in numbered:
                pipe.hget(self._keys.version(article, number), "document")
            documents = await pipe.execute()
        found = zip(numbered, documents, strict=True)
        return [(*version, document) for version, document in found if document and Pointer.read(document)]

    async def state(self) -> ArchiveState:
        """Return the archive in numbers."""
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.hmget(self._keys.archive_totals, "documents", "bytes")
            pipe.zcard(self._keys.archive_erasures)
            pipe.hmget(self._key("pass"), "since", "ended")
            (documents, size), erasures, (since, ended) = await pipe.execute()
        last = Pass(float(since) if since else None, int(ended or 0))
        return ArchiveState(int(documents or 0), int(size or 0), erasures, last)

    async def lease_pass(self, owner: str) -> bool:
        """Take or extend the right to search; return whether this owner has it."""
        name = self._key("lease")
        if await self._redis.set(name, owner, nx=True, ex=PASS_LEASE_SECONDS):
            return True
        if await self._redis.get(name) != owner.encode():
            return False
        await self._redis.expire(name, PASS_LEASE_SECONDS)
        return True

    async def end_lease(self, owner: str) -> None:
        """Let other processes search."""
        if await self._redis.get(self._key("lease")) == owner.encode():
            await self._redis.delete(self._key("lease"))

    async def save_position(self, since: float) -> None:
        """Record how far the search is."""
        await self._redis.hset(self._key("pass"), "since", repr(since))

    async def end_pass(self) -> None:
        """Record that all articles were looked at."""
        await self._redis.hset(self._key("pass"), mapping={"since": "", "ended": await self.now_ms()})

    def _key(self, name: str) -> str:
        return self._keys.key("archive", name)

    async def _call_all(self, calls: Sequence[Call]) -> list[Any]:
        answers = await self._functions.call_all(calls)
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        return answers


def _old_versions(
    article: str, versions: Sequence[tuple[int, bytes | None, bytes | None]], before: datetime
) -> OldVersions | None:
    old: list[OldVersion] = []
    archived = 0
    for number, document, about in versions:
        if (
            document is not None and about is not None
        ):  # else it was erased: the article was retracted, and published again
            summary = orjson.loads(about)
            if datetime.fromisoformat(summary["updated_at"]) > before:
                break
            if Pointer.read(document) is None:
                summary.pop("version", None)
                old.append(OldVersion(number, document, orjson.dumps(summary)))
        archived = number
    return OldVersions(article, tuple(old), archived) if archived else None
