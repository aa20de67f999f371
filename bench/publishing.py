"""Adds articles to the stream as ingest does, without HTTP: to measure what follows."""

import asyncio
from collections.abc import Iterable, Sequence
from datetime import timedelta

from redis.asyncio import Redis
from ulid import ULID

from bench.articles import Article
from bench.servers import KEYS
from newswire.article import ArticleDraft
from newswire.auth.credentials import Caller
from newswire.events import FIELD
from newswire.keys import Keyspace
from newswire.timestamps import utc_now
from newswire_ingest.articles.publishing import Version, fingerprint, next_version
from newswire_ingest.articles.repository import ArticleStore
from newswire_ingest.articles.write_context import WriteContext
from newswire_notify.streaming.stream_events import read_stream_entry

CHUNK = 500
_TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def versions(articles: Iterable[Article], publisher: str) -> list[Version]:
    """Return the first version of each article."""
    return [
        next_version(
            ArticleDraft.model_validate(article),
            id_=str(ULID()).lower(),
            publisher=publisher,
            site="http://127.0.0.1:8000",
            now=utc_now(),
            traceparent=_TRACE,
        )
        for article in articles
    ]


def events(made: Iterable[Version]) -> list[bytes]:
    """Return their events as they are on the stream."""
    return [version.event_prefix + version.document_json + b"}" for version in made]


def frame(entry: bytes) -> bytes:
    """Return an entry as Newswire sends it to readers.

    Raises:
        ValueError: it is no event of an article.
    """
    if (read := read_stream_entry(b"1790000000000-0", {FIELD.encode(): entry})) is None:
        raise ValueError("not an event of an article")
    return read.frame.data


async def append(redis: "Redis", entries: list[bytes]) -> str:
    """Add events to the stream, many at a time; return the id of the last one."""
    last = b""
    for at in range(0, len(entries), CHUNK):
        async with redis.pipeline(transaction=False) as pipe:
            for entry in entries[at : at + CHUNK]:
                pipe.xadd(KEYS.stream, {FIELD: entry})
            last = (await pipe.execute())[-1]
    return last.decode()


async def put_on_record(
    redis: "Redis", made: Sequence[Version], caller: Caller, keys: Keyspace = KEYS, together: int = 1
) -> None:
    """Publish versions by ingest's own atomic function, a number of calls at a time."""
    store = ArticleStore(redis, keys, timedelta(hours=24))
    await store.functions.load()
    for at in range(0, len(made), together):
        now = utc_now()
        outcomes = await asyncio.gather(
            *(
                store.create(version, WriteContext(caller, now, fingerprint(version.document)))
                for version in made[at : at + together]
            )
        )
        if wrong := {outcome.verdict for outcome in outcomes} - {"OK"}:
            raise RuntimeError(f"an article could not be published: {', '.join(wrong)}")
