"""The record of truth as ingest writes it: article heads, and version documents packed to a third of their size.

Used by whoever must know what is published now: reindexing, retries and replays.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import zstandard
from redis.asyncio import Redis

from newswire.article import Status, Tombstone
from newswire.events import ArticlePublished
from newswire.keyspace import Keyspace

LEVEL = 3
_compressor = zstandard.ZstdCompressor(level=LEVEL)
_decompressor = zstandard.ZstdDecompressor()


def pack(document: bytes) -> bytes:
    """Return a version document as it is stored: a Zstandard frame (RFC 8878). Not for several threads at once."""
    return _compressor.compress(document)


def unpack(stored: bytes) -> bytes:
    """Return the JSON of a stored version document. Records from before there were frames hold it as it is."""
    return _decompressor.decompress(stored) if stored.startswith(zstandard.FRAME_HEADER) else stored


@dataclass(frozen=True, slots=True)
class Head:
    """Where an article stands now."""

    id: str
    status: Status
    version: int
    revision: int
    publisher: str
    external_id: str | None
    fingerprint: str
    tombstone: Tombstone | None


def parse_head(fields: dict[bytes, bytes]) -> Head | None:
    """Read a head from the hash that holds it; an empty hash is no head."""
    if not fields:
        return None
    tombstone = fields.get(b"tombstone")
    return Head(
        id=fields[b"id"].decode(),
        status=Status(fields[b"status"].decode()),
        version=int(fields[b"version"]),
        revision=int(fields.get(b"revision", b"0")),
        publisher=fields[b"publisher"].decode(),
        external_id=fields[b"external_id"].decode() if fields.get(b"external_id") else None,
        fingerprint=fields.get(b"fingerprint", b"").decode(),
        tombstone=Tombstone.model_validate_json(tombstone) if tombstone else None,
    )


async def read_head(redis: "Redis", keys: Keyspace, article_id: str) -> Head | None:
    """Return an article's head, or None where there is no such article, or this is no article's id."""
    if not article_id.isalnum():  # a sign in it could lead to a record of another kind
        return None
    fields: dict[Any, Any] = await redis.hgetall(keys.article(article_id))
    return parse_head(fields)


async def version_document(redis: "Redis", keys: Keyspace, article_id: str, version: int) -> bytes | None:
    """Return one version as the JSON of its event's data, or None where it was erased or never was."""
    stored: bytes | None = await redis.hget(keys.version(article_id, version), "document")
    return None if stored is None else unpack(stored)


async def read_version(redis: "Redis", keys: Keyspace, article_id: str, version: int) -> ArticlePublished | None:
    """Return one version, or None where it was erased or never was."""
    document = await version_document(redis, keys, article_id, version)
    return ArticlePublished.model_validate_json(document) if document else None


async def article_ids(redis: "Redis", keys: Keyspace, page: int = 1000) -> AsyncIterator[str]:
    """Go through the ids of all articles, oldest first."""
    start = 0
    while ids := await redis.zrange(keys.articles, start, start + page - 1):
        for article_id in ids:
            yield article_id.decode()
        start += page
