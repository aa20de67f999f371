"""The outcomes of articles, from the outcomes stream: when search found them, and how many subscribers received them."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from redis.asyncio import Redis

from newswire.article import Status
from newswire.asyncapi import OutcomeBatch
from newswire.events import (
    ArticleFannedOut,
    ArticleIndexed,
    ArticlesStreamed,
    DeliveriesProgressed,
    MailsProgressed,
)
from newswire.keys import Keyspace
from newswire.messaging.broker import EventBroker
from newswire.messaging.messages import Message
from newswire.storage.article_records import ArticleState
from newswire.storage.redis_functions import Call, FunctionLibrary, LuaSource

LUA = LuaSource("newswire_ingest.outcomes", "outcomes")
RETENTION = timedelta(days=30)
MAX_LISTED_VERSIONS = 50
"""The number of newest versions whose outcomes are listed."""
_ENDED = ("delivered", "dead", "superseded", "cancelled")
_MAILS = ("planned", "accepted", "deferred", "bounced", "returned", "failed", "cancelled")


class Outcomes:
    """The outcomes of all articles: numbers only, without text or recipients."""

    def __init__(self, redis: "Redis", keys: Keyspace) -> None:
        self._redis = redis
        self._keys = keys
        self._functions = FunctionLibrary.packaged(redis, keys.namespace, LUA)

    def subscribe(self, broker: EventBroker) -> None:
        """Subscribe to the outcomes stream."""

        @broker.subscriber(stream=broker.subscription(), title="outcomes_outcomes")
        async def take(batch: OutcomeBatch) -> None:
            """Ingest stores the numbers, so that publishers see the outcomes of their articles."""
            await self.take(batch)

    async def take(self, batch: Sequence[Message]) -> None:
        """Store the outcomes of a batch. It is idempotent."""
        for item in batch:
            match item.payload:
                case ArticleIndexed() as data:
                    event = data.event or f"{data.id}.{data.version}"
                    await self._note(event, "indexed", {"latency_ms": str(data.latency_ms), "index": data.index})
                case ArticleFannedOut() as data:
                    counts = {"matched": data.matched, "previously_matched": data.previously_matched}
                    await self._note(data.event, "fanned_out", counts)
                case DeliveriesProgressed() as data:
                    await self._note(data.event, "progressed", {name: getattr(data, name) for name in _ENDED})
                case MailsProgressed() as data:
                    counts = {f"mails:{data.newsletter}:{name}": getattr(data, name) for name in _MAILS}
                    await self._note(data.event, "progressed", counts)
                case ArticlesStreamed() as data:
                    await self._note_all(
                        "progressed", {each.event: {f"live:{data.process}": each.readers} for each in data.events}
                    )
                case _:
                    pass

    async def of(self, state: ArticleState) -> list[dict[str, Any]]:
        """Return the outcomes of an article's newest versions and retractions, newest first."""
        versions = range(state.version, max(state.version - MAX_LISTED_VERSIONS, 0), -1)
        events = [(version, type_) for version in versions for type_ in ("retracted", "published")]
        async with self._redis.pipeline(transaction=False) as pipe:
            for version, type_ in events:
                event = f"{state.id}.{version}"
                pipe.hgetall(self._record(event if type_ == "published" else f"{event}.retracted"))
            found = await pipe.execute()
        now = state.version, "retracted" if state.status is Status.RETRACTED else "published"
        return [_view(*event, fields) for event, fields in zip(events, found, strict=True) if fields or event == now]

    async def _note(self, event: str, what: str, data: Mapping[str, str | int]) -> None:
        await self._functions.call(*self._call(event, what, data)[:3])

    async def _note_all(self, what: str, data: Mapping[str, Mapping[str, str | int]]) -> None:
        """Store the fields of several events in one round trip."""
        calls = [self._call(event, what, fields) for event, fields in data.items()]
        for answer in await self._functions.call_all(calls) if calls else ():
            if isinstance(answer, Exception):
                raise answer

    def _call(self, event: str, what: str, data: Mapping[str, str | int]) -> Call:
        kept = int(RETENTION.total_seconds() * 1000)
        return Call("note", [self._record(event)], {"report": what, "retention": kept, "fields": data})

    def _record(self, event: str) -> str:
        return self._keys.key("outcome", event)


def _view(version: int, type_: str, fields: dict[bytes, bytes]) -> dict[str, Any]:
    data = {name.decode(): value.decode() for name, value in fields.items()}
    ended = {name: int(data.get(name, 0)) for name in _ENDED}
    matched, previously = (int(data[name]) if name in data else None for name in ("matched", "previously_matched"))
    due = None if matched is None else matched + (previously or 0)
    return {
        "version": version,
        "type": type_,
        "searchable_after_ms": float(data["latency_ms"]) if "latency_ms" in data else None,
        "index": data.get("index"),
        "matched": matched,
        "previously_matched": previously,
        **ended,
        "pending": None if due is None else max(due - sum(ended.values()), 0),
        "mails": _mails(data),
        "live_readers": sum(int(value) for name, value in data.items() if name.startswith("live:")),
    }


def _mails(data: Mapping[str, str]) -> dict[str, int]:
    """Return the mails of all newsletters together."""
    counts = dict.fromkeys(_MAILS, 0)
    for field, value in data.items():
        if field.startswith("mails:"):
            counts[field.rpartition(":")[2]] += int(value)
    returned = counts.pop("returned")
    ended = counts["accepted"] + counts["failed"] + counts["cancelled"] + counts["bounced"] - returned
    return counts | {"pending": max(counts["planned"] - ended, 0)}
