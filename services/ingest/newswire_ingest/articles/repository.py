"""The store of articles: every change is one atomic function in Redis."""

from contextlib import AbstractContextManager, nullcontext
from datetime import datetime, timedelta
from typing import Any, Literal

from opentelemetry.trace import SpanKind
from redis.asyncio import Redis

from newswire.auth.credentials import CALLER_IS_BARRED, key_record
from newswire.auth.tombstone_readers import matching_entitlements, readers_field
from newswire.keys import INGEST_SCHEMA, Keyspace
from newswire.observability import tracing
from newswire.storage.article_records import ArticleState, pack
from newswire.storage.document_archive import NO_ARCHIVE, DocumentArchive
from newswire.storage.redis_functions import FunctionLibrary, LuaSource
from newswire.timestamps import epoch_ms_ceil, rfc3339
from newswire_ingest.articles.article_reader import ArticleReader
from newswire_ingest.articles.command_batcher import CommandBatcher
from newswire_ingest.articles.publishing import Version
from newswire_ingest.articles.repeating_writer import RepeatingWriter
from newswire_ingest.articles.store_result import DuePublication, StoreResult, parse_store_result
from newswire_ingest.articles.write_context import NO_QUOTA, Quota, WriteContext
from newswire_ingest.labels.repository import label_lines
from newswire_ingest.media.repository import USES, media_names

WriteMode = Literal["create", "upsert", "change"]
_SCHEMA = str(INGEST_SCHEMA)
LUA = LuaSource("newswire_ingest.articles", "publish", (CALLER_IS_BARRED, "limits", "labels", *USES))


def publishing_functions(redis: "Redis", keys: Keyspace) -> FunctionLibrary:
    """Return the atomic functions of publishing."""
    return FunctionLibrary.packaged(redis, keys.namespace, LUA)


class ArticleStore(ArticleReader):
    """Reads and writes the articles of all publishers in one Redis."""

    def __init__(
        self,
        redis: "Redis",
        keys: Keyspace,
        idempotency_lifetime: timedelta,
        archive: DocumentArchive = NO_ARCHIVE,
    ) -> None:
        super().__init__(redis, keys, archive)
        self._lifetime = str(int(idempotency_lifetime.total_seconds()))
        self._labels, self._media = keys.key("labels", ""), media_names(keys)
        self._prefix = keys.article("")
        self._fixed_keys = (keys.articles, keys.due, keys.stream)
        self.functions = publishing_functions(redis, keys)
        self.writer = RepeatingWriter(self.functions)
        self.command_batcher = CommandBatcher(self.writer.send)

    async def create(
        self, version: Version, context: WriteContext, quota: Quota = NO_QUOTA, *, upsert: bool = False
    ) -> StoreResult:
        """Store a new article, and append its event to the stream unless it is scheduled.

        A known ``external_id`` counts as a repeat if its article was created with the same content; for an upsert, only while
        that is the only version.
        """
        return await self._write(version, context, "", "upsert" if upsert else "create", revision=1, quota=quota)

    async def change(self, version: Version, context: WriteContext, state: ArticleState) -> StoreResult:
        """Store the next version or revision of an article, if its state has not changed."""
        return await self._write(version, context, state.revision_tag, "change", revision=state.revision + 1)

    async def record_unchanged(self, context: WriteContext, state: ArticleState) -> StoreResult:
        """Record only that this request was handled."""
        return await self._write_nothing(context, state.id, state.revision_tag)

    async def find_repeat(self, context: WriteContext) -> StoreResult | None:
        """Return the stored result of a repeated request; None for a new request."""
        outcome = await self._write_nothing(context, "", "unknown") if context.idempotency else None
        return None if outcome is None or outcome.verdict == "STALE" else outcome

    async def retract(
        self,
        state: ArticleState,
        context: WriteContext,
        tombstone: bytes,
        event: bytes,
        write_token: str,
        audit_entry: bytes,
        *,
        by_operator: bool = False,
    ) -> StoreResult:
        """Erase every version and stream entry of an article, and store its tombstone, the event and the entry of the audit log.

        The entitlements that could read it are recorded: their accounts are notified of the retraction.
        """
        keys = self._keys
        readers = await matching_entitlements(self._redis, keys, state.id, state.version, self._archive)
        keys_of_call = [
            keys.article(state.id),
            keys.stream,
            keys.dead_letters_of(state.id),
            self._caller_record(context),
            self._idempotency_key(context),
            keys.articles,
            keys.unindexed_retractions,
            keys.last_erasure,
            keys.audit_log,
            keys.due,
            keys.external(state.publisher),
            keys.archive_erasures,
            keys.archive_totals,
            *(keys.version(state.id, number) for number in range(1, state.version + 1)),
        ]
        arguments = self._request_arguments(context, state.id, state.revision_tag) | {
            "write_token": write_token,
            "label_names": self._labels,
            "media_names": self._media,
            "drafts": keys.key("drafts", "articles", state.publisher),
            "by": "operator" if by_operator else "",
            "archive": "" if self._archive.storage is None else "used",
            "readers_field": readers_field(state.version),
            "readers": readers,
            "tombstone": tombstone.decode(),
            "event": event.decode(),
            "audit": audit_entry.decode(),
            "number": str(state.version),
            "publisher": state.publisher,
            "external": state.external_id or "",
        }
        with self._sending(state.id):
            return parse_store_result(await self.command_batcher.call_in_span("retract", keys_of_call, arguments))

    async def release(self, article_id: str) -> bool:
        """Allow the publisher to publish an article again that an operator retracted; return whether an operator had."""
        return bool(await self.command_batcher.call("release", [self._keys.article(article_id)], {}))

    async def cancel(self, state: ArticleState, context: WriteContext, audit_entry: bytes) -> StoreResult:
        """Cancel a scheduled article: all its records are deleted. Only its entry in the audit log remains."""
        keys = self._keys
        answer = await self.command_batcher.call(
            "cancel",
            [
                keys.article(state.id),
                keys.scheduled(state.id),
                keys.due,
                keys.articles,
                keys.external(state.publisher),
                self._caller_record(context),
                self._idempotency_key(context),
                keys.last_erasure,
                keys.audit_log,
            ],
            self._request_arguments(context, state.id, state.revision_tag)
            | {"media_names": self._media, "audit": audit_entry.decode()},
        )
        return parse_store_result(answer)

    async def publish_due(self, now: datetime, maximum: int) -> tuple[list[DuePublication], float | None]:
        """Publish the scheduled articles that are due, in order; hold those whose accounts were disabled at the due time.

        Return the published articles, and when the next one is due (seconds since the epoch).
        """
        keys = self._keys
        coming, *found = await self.command_batcher.call(
            "publish_due",
            [keys.due, keys.articles, keys.stream],
            {
                "now": int(now.timestamp() * 1000),
                "limit": maximum,
                "prefix": keys.article(""),
                "label_names": self._labels,
                "accounts": keys.key("account", ""),
            },
        )
        pairs = zip(found[::2], found[1::2], strict=True)
        out = [DuePublication(article_id.decode(), float(due) / 1000) for article_id, due in pairs]
        return out, float(coming) / 1000 if coming else None

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
        arguments = self._context_arguments(context, version.id, revision_tag)
        arguments["write_token"] = version.write_token
        arguments["quota"] = str(quota.maximum)
        arguments["external"] = document.get("external_id", "")
        arguments["mode"] = mode
        arguments["action"] = "schedule" if due else "publish"
        arguments["number"] = str(revision if due else version.number)
        arguments["source_version"] = str(document.get("source_version", ""))
        arguments["published_at"] = document["published_at"]
        arguments["label_names"] = self._labels
        arguments["labels"] = label_lines(document, version.rewritten_labels)
        arguments["media_names"] = self._media
        arguments["media"] = version.media_files
        if due:
            arguments |= {"due": rfc3339(due), "due_ms": str(epoch_ms_ceil(due))}
        keys = [*self._keys_of(context, version.id, self._keys.version(version.id, version.number)), quota.counter]
        data = version.document_json
        texts = (b"%b%b}" % (version.event_prefix, data), version.about, pack(data))
        if due:
            return parse_store_result(await self.command_batcher.call("write", keys, arguments, texts))
        with self._sending(version.id):
            return parse_store_result(await self.command_batcher.call_in_span("write", keys, arguments, texts))

    def _sending(self, article_id: str) -> AbstractContextManager[object]:
        """Record that an event is sent: the function that changes an article appends it to the stream."""
        if not tracing.is_recording():
            return nullcontext()
        attributes = tracing.messaging_attributes("send", self._keys.stream)
        attributes["cloudevents.event_subject"] = article_id
        return tracing.span(f"send {self._keys.stream}", SpanKind.PRODUCER, attributes)

    async def _write_nothing(self, context: WriteContext, article_id: str, revision_tag: str) -> StoreResult:
        arguments = self._context_arguments(context, article_id, revision_tag) | {
            "external": "",
            "mode": "change",
            "action": "nothing",
        }
        return parse_store_result(
            await self.command_batcher.call("write", self._keys_of(context, article_id, ""), arguments)
        )

    def _context_arguments(self, context: WriteContext, article_id: str, revision_tag: str) -> dict[str, Any]:
        arguments: dict[str, Any] = self._request_arguments(context, article_id, revision_tag)
        arguments["publisher"] = context.caller.account
        arguments["key"] = context.caller.key_id
        arguments["prefix"] = self._prefix
        return arguments

    def _request_arguments(self, context: WriteContext, article_id: str, revision_tag: str) -> dict[str, str]:
        """Return the arguments of every request, as strings: Lua's numbers are not exact."""
        return {
            "id": article_id,
            "expected_tag": revision_tag,
            "fingerprint": context.fingerprint,
            "now": rfc3339(context.now),
            "now_ms": str(epoch_ms_ceil(context.now)),
            "schema": _SCHEMA,
            "lifetime": self._lifetime,
        }

    def _keys_of(self, context: WriteContext, article_id: str, version: str) -> list[str]:
        return [
            self._prefix + article_id,
            version,
            self._idempotency_key(context),
            self._keys.external(context.caller.account),
            *self._fixed_keys,
            self._caller_record(context),
        ]

    def _caller_record(self, context: WriteContext) -> str:
        """Return the record that the functions check again: of the API key, or of the account of a user who signed in.

        '' for the command line, which has neither.
        """
        caller = context.caller
        if caller.user_id is not None:
            return self._keys.key("account", caller.account)
        return key_record(self._keys, caller.key_id) if caller.key_id else ""

    def _idempotency_key(self, context: WriteContext) -> str:
        return self._keys.key("idempotency", context.idempotency.digest()) if context.idempotency else ""
