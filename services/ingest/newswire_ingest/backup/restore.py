"""Articles put back from a backup, and a stream from which search can index them all and nobody is told of them again."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import orjson
from redis.asyncio import Redis

from newswire.article import Status
from newswire.events import FIELD, RETRACTED, recorded_event
from newswire.keys import Keyspace
from newswire.messaging.stream_position import newest_entry
from newswire.storage.article_records import pack, parse_head, unpack
from newswire.storage.backup_file import Record, raw
from newswire.storage.redis_functions import Call
from newswire.timestamps import epoch_ms_ceil
from newswire_ingest.articles.repository import publishing_functions
from newswire_ingest.backup.backup import entry_data, order
from newswire_ingest.labels.repository import stored_label_lines

PAGE = 500
GROUP_OF_SEARCH, GROUP_OF_NOTIFY = "search", "notify"


@dataclass(frozen=True, slots=True)
class Standing:
    """What an article is at the moment: the version that is published, or a tombstone (version 0)."""

    id: str
    version: int
    entry: str
    """Where its event stood on the stream; '' for a tombstone."""


async def restore_articles(redis: "Redis", keys: Keyspace, records: Sequence[Record]) -> list[Standing]:
    """Write articles, and what is counted and looked up by them; return what they are."""
    standings = []
    counted: list[Call] = []
    async with redis.pipeline(transaction=False) as pipe:
        for record in records:
            head_fields: dict[str, bytes] = {}
            for name, kept in record["records"].items():
                fields = {field: raw(value) for field, value in kept.items()}
                if "document" in fields:
                    fields["document"] = pack(fields["document"])
                pipe.hset(keys.article(record["id"]) + name, mapping=fields)
                head_fields = head_fields if name else fields
            head = parse_head({field.encode(): value for field, value in head_fields.items()})
            if head is None:
                continue
            created = datetime.fromisoformat(head_fields["created_at"].decode())
            pipe.zadd(keys.articles, {head.id: epoch_ms_ceil(created)})
            if head.external_id:
                pipe.hset(keys.external(head.publisher), head.external_id, head.id)
            pipe.zadd(keys.articles_of(head.publisher, head.status), {head.id: 0})
            scheduled = record["records"].get(":scheduled")
            if head.status is Status.SCHEDULED and scheduled and head.held is None:
                pipe.zadd(keys.due, {head.id: epoch_ms_ceil(datetime.fromisoformat(scheduled["due"]))})
            if labels := stored_label_lines(head_fields.get("labels", b"").decode()):
                pipe.hdel(keys.article(head.id), "labels")
                call = ("restore_labels", [keys.article(head.id)], [keys.key("labels", ""), head.publisher, labels])
                counted.append(call)
            current = record["records"].get(f":v:{head.version}", {})
            if head.status is Status.RETRACTED:
                standings.append(Standing(head.id, 0, ""))
            elif head.status is Status.PUBLISHED:
                standings.append(Standing(head.id, head.version, current.get("entry", "")))
        await pipe.execute()
    for answer in await publishing_functions(redis, keys).call_all(counted):
        if isinstance(answer, Exception):
            raise answer
    return standings


async def restore_old_events(
    redis: "Redis", keys: Keyspace, standings: Sequence[Standing], entries: Iterable[Record], site: str
) -> None:
    """Put an event on the empty stream for each article of which the backup's entries hold none.

    Their ids (``1-1``, ``1-2``, …) lie before all others, so whatever follows the stream from where it was passes them over.
    """
    known: set[str] = set()
    for record in entries:
        known.add(record["subject"] if record["type"] == RETRACTED else record["id"])
    missing = sorted(
        (standing for standing in standings if (standing.entry or standing.id) not in known),
        key=lambda standing: order(standing.entry or "0-0"),
    )
    for at in range(0, len(missing), PAGE):
        page = missing[at : at + PAGE]
        async with redis.pipeline(transaction=False) as pipe:
            for standing in page:
                if standing.version:
                    pipe.hget(keys.version(standing.id, standing.version), "document")
                else:
                    pipe.hget(keys.article(standing.id), "tombstone")
            found = await pipe.execute()
        async with redis.pipeline(transaction=False) as pipe:
            for number, (standing, stored) in enumerate(zip(page, found, strict=True), at + 1):
                if stored is None:
                    continue
                event = recorded_event(orjson.loads(unpack(stored)), site)
                pipe.xadd(keys.stream, {FIELD: event.to_json()}, id=f"1-{number}")
                if standing.version:
                    pipe.hset(keys.version(standing.id, standing.version), "entry", f"1-{number}")
            await pipe.execute()


async def restore_entries(redis: "Redis", keys: Keyspace, records: Sequence[Record]) -> None:
    """Put entries on the stream again, each under its own id."""
    async with redis.pipeline(transaction=False) as pipe:
        for record in records:
            pipe.xadd(keys.stream, {FIELD: entry_data(record)}, id=record["id"])
        await pipe.execute()


async def restore_position(redis: "Redis", keys: Keyspace, position: Record) -> None:
    """Let the stream go on where it was, the fan-out after what it had handled, and search from the beginning."""
    await redis.xgroup_create(keys.stream, GROUP_OF_SEARCH, "0-0", mkstream=True)
    if position["checkpoint"]:
        await redis.xgroup_create(keys.stream, GROUP_OF_NOTIFY, position["checkpoint"])
        await redis.set(keys.checkpoint(GROUP_OF_NOTIFY), position["checkpoint"])
    if order(position["last"]) > order(await newest_entry(redis, keys.stream)):
        await redis.execute_command("XSETID", keys.stream, position["last"])
