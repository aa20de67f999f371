"""What became of deliveries, as their subscriber may see it."""

from datetime import UTC, datetime
from typing import Any

import orjson
from redis.asyncio import Redis

from newswire.article import Status
from newswire.keyspace import Keyspace


class Deliveries:
    """Reads the deliveries of one namespace."""

    def __init__(self, redis: "Redis", records: "Redis", keys: Keyspace) -> None:
        self._redis = redis
        self._records = records
        self._keys = keys

    async def of(self, subscription_id: str, limit: int) -> list[dict[str, Any]]:
        """Return a subscription's newest deliveries with their attempts, newest first."""
        ids = [
            raw.decode()
            for raw in await self._redis.zrange(self._keys.key("deliveries", subscription_id), 0, limit - 1, desc=True)
        ]
        async with self._redis.pipeline(transaction=False) as pipe:
            for delivery_id in ids:
                pipe.hgetall(self._keys.key("delivery", delivery_id))
                pipe.lrange(self._keys.key("delivery", delivery_id, "attempts"), 0, -1)
                pipe.zscore(self._keys.key("due", subscription_id), delivery_id)
            found = await pipe.execute()
        rows = [row for row in zip(ids, found[::3], found[1::3], found[2::3], strict=True) if row[1]]
        answers = await self._answers({row[1][b"article"].decode() for row in rows})
        return [_shown(*row, answers.get(row[1][b"article"].decode(), {})) for row in rows]

    async def _answers(self, articles: set[str]) -> dict[str, dict[bytes, bytes]]:
        """Return what endpoints answered, but for retracted articles: an answer may quote what it was sent."""
        ordered = sorted(articles)
        async with self._records.pipeline(transaction=False) as pipe:
            for article in ordered:
                pipe.hget(self._keys.article(article), "status")
            statuses = await pipe.execute()
        shown = [
            article for article, status in zip(ordered, statuses, strict=True) if status != Status.RETRACTED.encode()
        ]
        async with self._redis.pipeline(transaction=False) as pipe:
            for article in shown:
                pipe.hgetall(self._keys.key("answers", article))
            found = await pipe.execute()
        return dict(zip(shown, found, strict=True))


def _shown(
    delivery_id: str, fields: dict[bytes, bytes], attempts: list[bytes], due: float | None, answers: dict[bytes, bytes]
) -> dict[str, Any]:
    state = fields[b"state"].decode()
    return {
        "id": delivery_id,
        "event": fields[b"event"].decode(),
        "type": fields[b"type"].decode(),
        "article": fields[b"article"].decode(),
        "version": int(fields[b"version"]),
        "reason": fields[b"reason"].decode(),
        "state": state,
        "created_at": _moment(int(fields[b"created"])),
        "due_at": _moment(due) if due is not None else None,
        "ended_at": _moment(int(fields[b"ended"])) if b"ended" in fields else None,
        "attempts": [_attempt(delivery_id, orjson.loads(attempt), answers) for attempt in attempts],
    }


def _attempt(delivery_id: str, attempt: dict[str, Any], answers: dict[bytes, bytes]) -> dict[str, Any]:
    answer = answers.get(f"{delivery_id}|{attempt['attempt']}".encode())
    return attempt | {
        "time": _moment(attempt["time"] * 1000),
        "answer": answer.decode() if answer is not None else None,
    }


def _moment(milliseconds: float) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
