"""Articles and their stream, read for a backup while they are written, and restored.

An article is read whole at one moment, and again if the stream tells of it after the backup began. The last of the stream, the
checkpoint of the fan-out and the articles of those last entries are of one moment: the one that the backup shows.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import orjson
from redis.asyncio import Redis

from newswire.events import FIELD, RETRACTED
from newswire.keys import Keyspace
from newswire.messaging.stream_position import newest_entry
from newswire.storage.article_records import article_ids, unpack
from newswire.storage.backup_file import Record, raw, text
from newswire.storage.redis_functions import FunctionLibrary

PAGE = 200
MAX_ROUNDS = 10
DOCUMENT = b"document"

Order = tuple[int, int]


@dataclass
class ArticleBackup:
    """One reading of all articles: first `articles`, then `entries`, which brings up to date what was read before."""

    redis: "Redis"
    keys: Keyspace
    group: str
    """Whose checkpoint belongs to the backup: it must not handle again what it handled before."""
    last_reading: dict[str, int] = field(default_factory=dict)
    """In which reading an article that changed meanwhile was read last; the others were read in the first, 0."""
    withdrawn: dict[str, Order] = field(default_factory=dict)
    """Up to which entry the entries about an article hold what was erased."""
    _began: Order = (0, 0)
    _scheduled: set[str] = field(default_factory=set)
    """What was scheduled when it was read: the stream does not tell of what becomes of it until it is published."""

    def __post_init__(self) -> None:
        """Prepare the functions."""
        self._functions = FunctionLibrary.packaged(self.redis, self.keys.namespace, "newswire_ingest.backup", "backup")

    async def articles(self) -> AsyncIterator[Record]:
        """Read all articles."""
        await self._functions.load()
        self._began = order(await newest_entry(self.redis, self.keys.stream))
        page: list[str] = []
        async for article_id in article_ids(self.redis, self.keys):
            page.append(article_id)
            if len(page) == PAGE:
                for record in await self._read(page, 0):
                    yield record
                page = []
        for record in await self._read(page, 0):
            yield record

    async def entries(self) -> AsyncIterator[Record]:
        """Read the stream, then what has changed since the articles were read, and at last where all of it stands."""
        last = "0-0"
        for reading in range(1, MAX_ROUNDS + 1):
            changed: set[str] = set()
            count = 0
            while page := await self.redis.xrange(self.keys.stream, f"({last}", count=PAGE):
                count += len(page)
                last = page[-1][0].decode()
                for entry_id, fields in page:
                    if FIELD.encode() in fields:
                        yield self._entry(entry_id, fields[FIELD.encode()], changed)
            ids = sorted(changed)
            for at in range(0, len(ids), PAGE):
                for record in await self._read(ids[at : at + PAGE], reading):
                    yield record
            if count < PAGE:
                break
        self._scheduled |= {raw_id.decode() for raw_id in await self.redis.zrange(self.keys.due, 0, -1)}
        ids = sorted(self._scheduled)
        for at in range(0, len(ids), PAGE):
            for record in await self._read(ids[at : at + PAGE], MAX_ROUNDS + 1):
                yield record
        stream_end, checkpoint, entries, articles = await self._functions.call(
            "rest", [self.keys.stream, self.keys.checkpoint(self.group)], [last, self.keys.article("")]
        )
        for entry_id, flat in entries:
            fields = dict(zip(flat[::2], flat[1::2], strict=True))
            if FIELD.encode() in fields:
                yield self._entry(entry_id, fields[FIELD.encode()], set())
        for article_id, found in zip(articles[::2], articles[1::2], strict=True):
            if found:
                yield self._article(article_id.decode(), found, MAX_ROUNDS + 2)
        yield {"record": "position", "last": stream_end.decode(), "checkpoint": checkpoint.decode()}

    def keeps(self, record: Record) -> bool:
        """Tell, once all is read, whether a record that was read earlier still holds: neither replaced nor erased since."""
        match record["record"]:
            case "article":
                return bool(record["reading"] == self.last_reading.get(record["id"], 0))
            case "entry" if record["subject"] in self.withdrawn and record["type"] != RETRACTED:
                return order(record["id"]) > self.withdrawn[record["subject"]]
            case _:
                return True

    async def _read(self, ids: list[str], reading: int) -> list[Record]:
        name = self._functions.full_name("article")
        async with self.redis.pipeline(transaction=False) as pipe:
            for article_id in ids:
                pipe.fcall(name, 1, self.keys.article(article_id))
            found = await pipe.execute()
        if reading:  # one that is no more was cancelled before it was published
            self.last_reading |= dict.fromkeys(ids, reading)
        return [
            self._article(article_id, records, reading)
            for article_id, records in zip(ids, found, strict=True)
            if records
        ]

    def _article(self, article_id: str, found: list[Any], reading: int) -> Record:
        if reading:
            self.last_reading[article_id] = reading
        records = {}
        for name, flat in zip(found[::2], found[1::2], strict=True):
            fields = dict(zip(flat[::2], flat[1::2], strict=True))
            if DOCUMENT in fields:
                fields[DOCUMENT] = unpack(fields[DOCUMENT])
            if fields.get(b"status") == b"scheduled":
                self._scheduled.add(article_id)
            records[name.decode()] = {key.decode(): text(value) for key, value in fields.items()}
        return {"record": "article", "id": article_id, "reading": reading, "records": records}

    def _entry(self, entry_id: bytes, data: bytes, changed: set[str]) -> Record:
        """Make the record of an entry; an article that it tells of something new goes to those that changed."""
        subject, type_ = _about(data)
        at = order(entry_id.decode())
        if subject and at > self._began:
            changed.add(subject)
        if subject and type_ == RETRACTED:
            self.withdrawn[subject] = at
        return {"record": "entry", "id": entry_id.decode(), "subject": subject, "type": type_, "data": text(data)}


def order(entry_id: str) -> Order:
    """Return a stream id as what it compares by."""
    milliseconds, sequence = entry_id.split("-")
    return int(milliseconds), int(sequence)


def entry_data(record: Record) -> bytes:
    """Return what stood in the stream."""
    return raw(record["data"])


def _about(data: bytes) -> tuple[str, str]:
    try:
        event = orjson.loads(data)
        return str(event["subject"]), str(event["type"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return "", ""
