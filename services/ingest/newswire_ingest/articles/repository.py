"""The record of truth, written: every change is one atomic function inside Redis."""

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import orjson
from redis.asyncio import Redis

from newswire.article import Status
from newswire.auth.credentials import Caller, key_record
from newswire.auth.tombstone_readers import matching_entitlements, readers_field
from newswire.keys import INGEST_SCHEMA, Keyspace
from newswire.storage.article_records import ArticleState, pack, read_article_state, unpack, version_document
from newswire.storage.redis_functions import FunctionLibrary
from newswire.timestamps import epoch_ms_ceil, rfc3339
from newswire_ingest.articles.command_batcher import CommandBatcher
from newswire_ingest.articles.publishing import Version
from newswire_ingest.labels.repository import label_lines

MAX_ATTEMPTS = 5

Verdict = Literal[
    "OK",
    "REPEAT",
    "KEY_MISMATCH",
    "EXTERNAL_TAKEN",
    "STALE",
    "REVOKED",
    "CANCELLED",
    "OVER_QUOTA",
    "LABEL_CONFLICT",
    "TAKEN_DOWN",
]
WriteMode = Literal["create", "upsert", "change"]


@dataclass(frozen=True, slots=True)
class StoreResult:
    """What a function answered; ``article_id`` where the verdict speaks of one."""

    verdict: Verdict
    article_id: str = ""
    entry: str = ""


@dataclass(frozen=True, slots=True)
class IdempotencyScope:
    """How a repeat of a request is known: the client's key within its account, method and path."""

    account: str
    method: str
    path: str
    key: str

    def digest(self) -> str:
        """Return the name of its record."""
        return hashlib.sha256(orjson.dumps([self.account, self.method, self.path, self.key])).hexdigest()


@dataclass(frozen=True, slots=True)
class WriteContext:
    """Who sent a request, when, and how it is known should it come again. Every function of the store claims it first."""

    caller: Caller
    now: datetime
    fingerprint: str
    idempotency: IdempotencyScope | None = None


@dataclass(frozen=True, slots=True)
class DuePublication:
    """An article that was published because it was due, and when it was to be."""

    article_id: str
    due: float
    """Seconds since the epoch."""


@dataclass(frozen=True, slots=True)
class Quota:
    """How many new articles an account may publish in a day (0: any number), and the name of their count."""

    counter: str = ""
    most: int = 0


NO_QUOTA = Quota()


def publishing_functions(redis: "Redis", keys: Keyspace) -> FunctionLibrary:
    """Return the atomic functions of publishing, with what they count."""
    return FunctionLibrary.packaged(redis, keys.namespace, "newswire_ingest.articles", "publish", "limits", "labels")


class ArticleStore:
    """Articles of all publishers in one Redis."""

    def __init__(self, redis: "Redis", keys: Keyspace, idempotency_lifetime: timedelta) -> None:
        self._redis = redis
        self._keys = keys
        self._lifetime = int(idempotency_lifetime.total_seconds())
        self.functions = publishing_functions(redis, keys)
        self.command_batcher = CommandBatcher(self.functions)

    async def load(self) -> None:
        """Load the functions before the first request needs them."""
        await self.functions.load()

    async def create(
        self, version: Version, context: WriteContext, quota: Quota = NO_QUOTA, *, upsert: bool = False
    ) -> StoreResult:
        """Put a new article on record, and on the stream unless it is scheduled; or tell why that is not what happened.

        A known ``external_id`` is a repeat where it was created with the same content; for an upsert only as long as that is
        still all that was published of it.
        """
        return await self._write(version, context, "", "upsert" if upsert else "create", revision=1, quota=quota)

    async def change(self, version: Version, context: WriteContext, state: ArticleState) -> StoreResult:
        """Put the next version, or revision, of the article on record, if it still is in the state of this head."""
        return await self._write(version, context, state.revision_tag, "change", revision=state.revision + 1)

    async def record_unchanged(self, context: WriteContext, state: ArticleState) -> StoreResult:
        """Write nothing but that this request was done."""
        return await self._write_nothing(context, state.id, state.revision_tag)

    async def find_repeat(self, context: WriteContext) -> StoreResult | None:
        """Return what is known of a request that may be a repeat, or None where it is new."""
        outcome = await self._write_nothing(context, "", "unknown") if context.idempotency else None
        return None if outcome is None or outcome.verdict == "STALE" else outcome

    async def retract(
        self,
        state: ArticleState,
        context: WriteContext,
        tombstone: bytes,
        event: bytes,
        write_token: str,
        *,
        by_operator: bool = False,
    ) -> StoreResult:
        """Erase every version and stream entry of an article, and put its tombstone and the event in their place.

        Which entitlements could read it is noted: who has one of them may learn that it was withdrawn.
        """
        keys = self._keys
        readers = await matching_entitlements(self._redis, keys, state.id, state.version)
        answer = await self.command_batcher.call(
            "retract",
            [
                keys.article(state.id),
                keys.stream,
                keys.dead_letters_of(state.id),
                self._caller_key(context),
                self._idempotency_key(context),
                keys.articles,
                keys.unindexed_retractions,
                keys.last_erasure,
                *(keys.version(state.id, number) for number in range(1, state.version + 1)),
            ],
            [
                *(state.revision_tag, tombstone, event, rfc3339(context.now), context.fingerprint),
                *(INGEST_SCHEMA, self._lifetime, state.id, write_token),
                *(epoch_ms_ceil(context.now), self._labels),
                *("operator" if by_operator else "", readers_field(state.version), readers),
            ],
        )
        return _store_result(answer)

    async def release(self, article_id: str) -> bool:
        """Let a publisher publish an article again that an operator retracted; return whether one had."""
        return bool(await self.command_batcher.call("release", [self._keys.article(article_id)], []))

    async def cancel(self, state: ArticleState, context: WriteContext) -> StoreResult:
        """Take back a scheduled article: nothing of it remains."""
        keys = self._keys
        answer = await self.command_batcher.call(
            "cancel",
            [
                keys.article(state.id),
                keys.scheduled(state.id),
                keys.due,
                keys.articles,
                keys.external(state.publisher),
                self._caller_key(context),
                self._idempotency_key(context),
                keys.last_erasure,
            ],
            [
                state.revision_tag,
                state.id,
                context.fingerprint,
                INGEST_SCHEMA,
                self._lifetime,
                epoch_ms_ceil(context.now),
            ],
        )
        return _store_result(answer)

    async def publish_due(self, now: datetime, most: int) -> tuple[list[DuePublication], float | None]:
        """Publish the scheduled articles that are due, first those due first; hold those of accounts disabled at that time.

        Return what went out, and when the next one is due (seconds since the epoch).
        """
        keys = self._keys
        coming, *found = await self.command_batcher.call(
            "publish_due",
            [keys.due, keys.articles, keys.stream],
            [int(now.timestamp() * 1000), most, keys.article(""), self._labels, keys.key("account", "")],
        )
        pairs = zip(found[::2], found[1::2], strict=True)
        out = [DuePublication(article_id.decode(), float(due) / 1000) for article_id, due in pairs]
        return out, float(coming) / 1000 if coming else None

    async def time(self) -> datetime:
        """Return the time by the server's clock, the one clock that all processes share, to the millisecond."""
        seconds, microseconds = await self._redis.time()
        return datetime.fromtimestamp(seconds, tz=UTC).replace(microsecond=microseconds // 1000 * 1000)

    async def find_by_external_id(self, publisher: str, external_id: str) -> str | None:
        """Return the id of the article that a publisher knows by its own id."""
        found = await self._redis.hget(self._keys.external(publisher), external_id)
        return found.decode() if found else None

    async def find(self, article_id: str) -> tuple[ArticleState, bytes | None] | None:
        """Return an article's head and the document of its last version, or what will be its first; None once it is erased."""
        state = await read_article_state(self._redis, self._keys, article_id)
        for _ in range(MAX_ATTEMPTS):
            if state is None or state.status is Status.RETRACTED:
                break
            document = await self._document(state)
            if document is not None:
                return state, document
            state = await read_article_state(
                self._redis, self._keys, article_id
            )  # between the two reads it was changed
        return (state, None) if state else None

    async def find_all(self, article_ids: Sequence[str]) -> list[tuple[ArticleState, bytes | None]]:
        """Return those of these articles that there are, as `find` does."""
        return [found for found in await asyncio.gather(*map(self.find, article_ids)) if found]

    async def _document(self, state: ArticleState) -> bytes | None:
        if state.status is Status.PUBLISHED:
            return await version_document(self._redis, self._keys, state.id, state.version)
        revision, document = await self._redis.hmget(self._keys.scheduled(state.id), "revision", "document")
        return unpack(document) if revision and int(revision) == state.revision else None

    async def list_articles(
        self, publisher: str, statuses: Sequence[Status], before: str | None, limit: int
    ) -> list[str]:
        """Return the ids of a publisher's articles, newest first, from before an id on."""
        async with self._redis.pipeline(transaction=False) as pipe:
            for status in statuses:
                name = self._keys.articles_of(publisher, status)
                pipe.zrange(name, f"({before}" if before else "+", "-", desc=True, bylex=True, offset=0, num=limit)
            found = await pipe.execute()
        return sorted({article_id.decode() for ids in found for article_id in ids}, reverse=True)[:limit]

    async def list_versions(self, article_id: str, newest: int, oldest: int) -> list[dict[str, Any]]:
        """Return what is said of these versions, newest first; erased ones are left out."""
        async with self._redis.pipeline(transaction=False) as pipe:
            for number in range(newest, oldest - 1, -1):
                pipe.hget(self._keys.version(article_id, number), "about")
            found = await pipe.execute()
        return [orjson.loads(about) for about in found if about]

    async def version(self, article_id: str, number: int) -> bytes | None:
        """Return one version's document, or None where it was erased or never was."""
        return await version_document(self._redis, self._keys, article_id, number)

    async def _write(
        self,
        version: Version,
        context: WriteContext,
        revision_tag: str,
        mode: WriteMode,
        revision: int,
        quota: Quota = NO_QUOTA,
    ) -> StoreResult:
        due, document = version.due, version.document
        arguments = self._context_arguments(context, version.id, revision_tag) | {
            "write_token": version.write_token,
            "quota": str(quota.most),
            "external": document.get("external_id", ""),
            "mode": mode,
            "action": "schedule" if due else "publish",
            "number": str(revision if due else version.number),
            "source_version": str(document.get("source_version", "")),
            "published_at": document["published_at"],
        }
        if due:
            arguments |= {"due": rfc3339(due), "due_ms": str(epoch_ms_ceil(due))}
        keys = [*self._keys_of(context, version.id, self._keys.version(version.id, version.number)), quota.counter]
        data = version.document_json
        texts = (
            version.event_prefix,
            data,
            version.about,
            pack(data),
            self._labels,
            label_lines(document, version.rewritten_labels),
        )
        return _store_result(await self.command_batcher.call("write", keys, [orjson.dumps(arguments), *texts]))

    async def _write_nothing(self, context: WriteContext, article_id: str, revision_tag: str) -> StoreResult:
        arguments = self._context_arguments(context, article_id, revision_tag) | {
            "external": "",
            "mode": "change",
            "action": "nothing",
        }
        return _store_result(
            await self.command_batcher.call("write", self._keys_of(context, article_id, ""), [orjson.dumps(arguments)])
        )

    def _context_arguments(self, context: WriteContext, article_id: str, revision_tag: str) -> dict[str, str]:
        """Return what the function is told in any case; strings, since Lua's numbers are not exact."""
        return {
            "id": article_id,
            "expected_tag": revision_tag,
            "fingerprint": context.fingerprint,
            "publisher": context.caller.account,
            "key": context.caller.key_id,
            "now": rfc3339(context.now),
            "now_ms": str(epoch_ms_ceil(context.now)),
            "schema": str(INGEST_SCHEMA),
            "lifetime": str(self._lifetime),
            "prefix": self._keys.article(""),
        }

    def _keys_of(self, context: WriteContext, article_id: str, version: str) -> list[str]:
        keys = self._keys
        return [
            keys.article(article_id),
            version,
            self._idempotency_key(context),
            keys.external(context.caller.account),
            keys.articles,
            keys.due,
            keys.stream,
            key_record(keys, context.caller.key_id),
        ]

    @property
    def _labels(self) -> str:
        return self._keys.key("labels", "")

    def _caller_key(self, context: WriteContext) -> str:
        """Return the record of the key that a function checks once more; '' for the command line, which has none."""
        return key_record(self._keys, context.caller.key_id) if context.caller.key_id else ""

    def _idempotency_key(self, context: WriteContext) -> str:
        return self._keys.key("idempotency", context.idempotency.digest()) if context.idempotency else ""


def _store_result(answer: list[Any]) -> StoreResult:
    verdict: Verdict = answer[0].decode()
    match verdict:
        case "REPEAT" | "EXTERNAL_TAKEN" | "CANCELLED":
            return StoreResult(verdict, article_id=answer[1].decode())
        case "OK":
            return StoreResult(verdict, entry=answer[1].decode())
        case _:
            return StoreResult(verdict)
