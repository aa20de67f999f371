"""Restores articles from a backup, with a stream from which search can index them, and without notifying subscribers again."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import orjson
from redis.asyncio import Redis

from newswire.article import Status
from newswire.events import FIELD, RETRACTED, recorded_event
from newswire.keys import Keyspace
from newswire.messaging.stream_position import newest_entry
from newswire.storage.article_records import pack, parse_article_state, unpack
from newswire.storage.backup_file import Record, raw
from newswire.storage.document_archive import Pointer
from newswire.storage.redis_functions import Call
from newswire.timestamps import epoch_ms_ceil
from newswire_ingest.articles.repository import publishing_functions
from newswire_ingest.backup.backup import entry_data, order
from newswire_ingest.labels.repository import stored_label_lines

PAGE = 500
GROUP_OF_SEARCH, GROUP_OF_NOTIFY = "search", "notify"


@dataclass(frozen=True, slots=True)
class RestoredArticle:
    """A restored article: its published version, or 0 for a tombstone."""

    id: str
    version: int
    entry: str
    """The stream id of its event; '' for a tombstone."""


async def restore_articles(redis: "Redis", keys: Keyspace, records: Sequence[Record]) -> list[RestoredArticle]:
    """Write articles with their indexes and counters; return what was restored."""
    restored_articles = []
    counted: list[Call] = []
    async with redis.pipeline(transaction=False) as pipe:
        for record in records:
            state_fields: dict[str, bytes] = {}
            for name, kept in record["records"].items():
                fields = {field: raw(value) for field, value in kept.items()}
                if "document" in fields:
                    fields["document"] = _stored(fields["document"])
                pipe.hset(keys.article(record["id"]) + name, mapping=fields)
                state_fields = state_fields if name else fields
            state = parse_article_state({field.encode(): value for field, value in state_fields.items()})
            if state is None:
                continue
            created = datetime.fromisoformat(state_fields["created_at"].decode())
            pipe.zadd(keys.articles, {state.id: epoch_ms_ceil(created)})
            if state.external_id:
                pipe.hset(keys.external(state.publisher), state.external_id, state.id)
            pipe.zadd(keys.articles_of(state.publisher, state.status), {state.id: 0})
            scheduled = record["records"].get(":scheduled")
            if state.status is Status.SCHEDULED and scheduled and state.held is None:
                pipe.zadd(keys.due, {state.id: epoch_ms_ceil(datetime.fromisoformat(scheduled["due"]))})
            if labels := stored_label_lines(state_fields.get("labels", b"").decode()):
                pipe.hdel(keys.article(state.id), "labels")
                named = {"names": keys.key("labels", ""), "account": state.publisher, "labels": labels}
                counted.append(Call("restore_labels", [keys.article(state.id)], named))
            current = record["records"].get(f":v:{state.version}", {})
            if state.status is Status.RETRACTED:
                restored_articles.append(RestoredArticle(state.id, 0, ""))
            elif state.status is Status.PUBLISHED:
                restored_articles.append(RestoredArticle(state.id, state.version, current.get("entry", "")))
        await pipe.execute()
    for answer in await publishing_functions(redis, keys).call_all(counted):
        if isinstance(answer, Exception):
            raise answer
    return restored_articles


def _stored(document: bytes) -> bytes:
    """Return a document of a backup as Redis stores it. A pointer to the archive is restored as it is."""
    return document if Pointer.read(document) else pack(document)


async def restore_old_events(
    redis: "Redis", keys: Keyspace, restored_articles: Sequence[RestoredArticle], entries: Iterable[Record], site: str
) -> None:
    """Append an event to the empty stream for each article without an event in the backup's entries, except archived ones.

    Their ids (``1-1``, ``1-2``, …) are lower than all others, so a consumer that continues at its old position skips them.
    """
    known: set[str] = set()
    for record in entries:
        known.add(record["subject"] if record["type"] == RETRACTED else record["id"])
    missing = sorted(
        (restored for restored in restored_articles if (restored.entry or restored.id) not in known),
        key=lambda restored: order(restored.entry or "0-0"),
    )
    for at in range(0, len(missing), PAGE):
        page = missing[at : at + PAGE]
        async with redis.pipeline(transaction=False) as pipe:
            for restored in page:
                if restored.version:
                    pipe.hget(keys.version(restored.id, restored.version), "document")
                else:
                    pipe.hget(keys.article(restored.id), "tombstone")
            found = await pipe.execute()
        async with redis.pipeline(transaction=False) as pipe:
            for number, (restored, stored) in enumerate(zip(page, found, strict=True), at + 1):
                if stored is None:
                    continue
                if Pointer.read(
                    stored
                ):  # its text is not read: search finds out that its index lacks articles, and rebuilds it
                    pipe.sadd(keys.complete_indexes, "before the restore")
                    continue
                event = recorded_event(orjson.loads(unpack(stored)), site)
                pipe.xadd(keys.stream, {FIELD: event.to_json()}, id=f"1-{number}")
                if restored.version:
                    pipe.hset(keys.version(restored.id, restored.version), "entry", f"1-{number}")
            await pipe.execute()


async def restore_entries(redis: "Redis", keys: Keyspace, records: Sequence[Record]) -> None:
    """Append entries to the stream, each with its original id."""
    async with redis.pipeline(transaction=False) as pipe:
        for record in records:
            pipe.xadd(keys.stream, {FIELD: entry_data(record)}, id=record["id"])
        await pipe.execute()


async def restore_position(redis: "Redis", keys: Keyspace, position: Record) -> None:
    """Restore the positions: the stream and the fan-out continue where they were, search starts at the beginning."""
    await redis.xgroup_create(keys.stream, GROUP_OF_SEARCH, "0-0", mkstream=True)
    if position["checkpoint"]:
        await redis.xgroup_create(keys.stream, GROUP_OF_NOTIFY, position["checkpoint"])
        await redis.set(keys.checkpoint(GROUP_OF_NOTIFY), position["checkpoint"])
    if order(position["last"]) > order(await newest_entry(redis, keys.stream)):
        await redis.execute_command("XSETID", keys.stream, position["last"])
