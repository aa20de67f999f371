"""The outcomes of articles, from the outcomes stream: when search found them, and how many subscribers received them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

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
from newswire.storage.redis_functions import FunctionLibrary, LuaSource

LUA = LuaSource("newswire_ingest.outcomes", "outcomes")
RETENTION = timedelta(days=30)
_RETENTION_MS = int(RETENTION.total_seconds() * 1000)
MAX_REPORTS_PER_CALL = 200
"""A call of a function blocks Redis for its time."""
MAX_LISTED_VERSIONS = 50
"""The number of newest versions whose outcomes are listed."""
_ENDED = ("delivered", "dead", "superseded", "cancelled")
_MAILS = ("planned", "accepted", "deferred", "bounced", "returned", "failed", "cancelled")


@dataclass(frozen=True, slots=True)
class _Report:
    """What one service reports of one event."""

    event: str
    kind: Literal["indexed", "fanned_out", "progressed"]
    fields: Mapping[str, str | int]


class Outcomes:
    """The outcomes of all articles: numbers only, without text or recipients."""

    def __init__(self, redis: "Redis", keys: Keyspace) -> None:
        self._redis = redis
        self._keys = keys
        self.functions = FunctionLibrary.packaged(redis, keys.namespace, LUA)

    def subscribe(self, broker: EventBroker) -> None:
        """Subscribe to the outcomes stream."""

        @broker.subscriber(stream=broker.subscription(), title="outcomes_outcomes")
        async def take(batch: OutcomeBatch) -> None:
            """Ingest stores the numbers, so that publishers see the outcomes of their articles."""
            await self.take(batch)

    async def take(self, batch: Sequence[Message]) -> None:
        """Store the outcomes of a batch, in few round trips. It is idempotent."""
        reports = [report for item in batch for report in _reports(item.payload)]
        for start in range(0, len(reports), MAX_REPORTS_PER_CALL):
            some = reports[start : start + MAX_REPORTS_PER_CALL]
            await self.functions.call(
                "note",
                [self._keys.key("outcome", report.event) for report in some],
                {"retention": _RETENTION_MS, "reports": [{"kind": each.kind, "fields": each.fields} for each in some]},
            )

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

    def _record(self, event: str) -> str:
        return self._keys.key("outcome", event)


def _reports(payload: object) -> Iterator[_Report]:
    """Yield what a message of the outcomes stream reports; nothing for messages that are for others."""
    match payload:
        case ArticleIndexed() as data:
            event = data.event or f"{data.id}.{data.version}"
            yield _Report(event, "indexed", {"latency_ms": str(data.latency_ms), "index": data.index})
        case ArticleFannedOut() as data:
            counts = {"matched": data.matched, "previously_matched": data.previously_matched}
            yield _Report(data.event, "fanned_out", counts)
        case DeliveriesProgressed() as data:
            yield _Report(data.event, "progressed", {name: getattr(data, name) for name in _ENDED})
        case MailsProgressed() as data:
            counts = {f"mails:{data.newsletter}:{name}": getattr(data, name) for name in _MAILS}
            yield _Report(data.event, "progressed", counts)
        case ArticlesStreamed() as data:
            for each in data.events:
                yield _Report(each.event, "progressed", {f"live:{data.process}": each.readers})
        case _:
            pass


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
