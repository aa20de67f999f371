"""Reads articles and their stream for a backup, while they are being written.

Each article is read atomically, and read again if an event about it was added after the backup began. The end of the stream, the
checkpoint of the fan-out and the articles of the last entries are read in one atomic step: the state that the backup represents.
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
from newswire.storage.document_archive import DocumentArchive, DocumentUnavailableError, Pointer
from newswire.storage.redis_functions import FunctionLibrary, LuaSource

LUA = LuaSource("newswire_ingest.backup", "backup")
PAGE = 200
MAX_ROUNDS = 10
DOCUMENT = b"document"

Order = tuple[int, int]


@dataclass
class ArticleBackup:
    """One backup of all articles: call `articles` first, then `entries`, which updates what `articles` returned."""

    redis: "Redis"
    keys: Keyspace
    group: str
    """The consumer group whose checkpoint is part of the backup: it must not handle old entries again."""
    last_reading: dict[str, int] = field(default_factory=dict)
    """The last pass in which an article was read, for articles that changed; all others were read in pass 0."""
    withdrawn: dict[str, Order] = field(default_factory=dict)
    """For each article, the entry up to which its entries contain erased text."""
    archive: DocumentArchive | None = None
    """Reads archived documents into the backup; None to leave them where they are: the backup has the pointers."""
    _began: Order = (0, 0)
    _scheduled: set[str] = field(default_factory=set)
    """Articles that were scheduled when they were read: the stream has no events about them until they are published."""

    def __post_init__(self) -> None:
        """Prepare the functions."""
        self._functions = FunctionLibrary.packaged(self.redis, self.keys.namespace, LUA)

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
        """Read the stream, the articles that changed since they were read, and the final positions."""
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
            "rest",
            [self.keys.stream, self.keys.checkpoint(self.group)],
            {"last": last, "prefix": self.keys.article("")},
        )
        for entry_id, flat in entries:
            fields = dict(zip(flat[::2], flat[1::2], strict=True))
            if FIELD.encode() in fields:
                yield self._entry(entry_id, fields[FIELD.encode()], set())
        for article_id, found in zip(articles[::2], articles[1::2], strict=True):
            if found:
                (record,) = await self._complete([self._article(article_id.decode(), found, MAX_ROUNDS + 2)])
                yield record
        yield {"record": "position", "last": stream_end.decode(), "checkpoint": checkpoint.decode()}

    def keeps(self, record: Record) -> bool:
        """Return whether a record is still valid after everything was read: neither replaced nor erased."""
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
        if reading:  # an article that is gone was cancelled before it was published
            self.last_reading |= dict.fromkeys(ids, reading)
        return await self._complete(
            [
                self._article(article_id, records, reading)
                for article_id, records in zip(ids, found, strict=True)
                if records
            ]
        )

    async def _complete(self, articles: list[Record]) -> list[Record]:
        """Add the archived documents of articles to their records, if they are to be in the backup."""
        if self.archive is None:
            return articles
        pointers = [
            (record, name, stored)
            for record in articles
            for name, fields in record["records"].items()
            if name.startswith(":v:") and "document" in fields and Pointer.read(stored := raw(fields["document"]))
        ]
        versions = [(record["id"], int(name.removeprefix(":v:"))) for record, name, _ in pointers]
        documents = await self.archive.resolve_each(versions, [stored for *_, stored in pointers])
        for (record, name, _), packed in zip(pointers, documents, strict=True):
            if isinstance(packed, DocumentUnavailableError):
                raise packed
            record["records"][name]["document"] = text(unpack(packed or b""))
            record["records"][""].pop("archived", None)  # it is in no archive once it is restored
        return articles

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
        """Return the record of an entry, and note the article as changed if the entry is newer than the backup."""
        subject, type_ = _about(data)
        at = order(entry_id.decode())
        if subject and at > self._began:
            changed.add(subject)
        if subject and type_ == RETRACTED:
            self.withdrawn[subject] = at
        return {"record": "entry", "id": entry_id.decode(), "subject": subject, "type": type_, "data": text(data)}


def order(entry_id: str) -> Order:
    """Return a stream id as a value that can be compared."""
    milliseconds, sequence = entry_id.split("-")
    return int(milliseconds), int(sequence)


def entry_data(record: Record) -> bytes:
    """Return the data of a stream entry."""
    return raw(record["data"])


def _about(data: bytes) -> tuple[str, str]:
    try:
        event = orjson.loads(data)
        return str(event["subject"]), str(event["type"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return "", ""
