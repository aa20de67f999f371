"""The record of truth, written: every change is one atomic function inside Redis."""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

import orjson
from redis.asyncio import Redis

from newswire.accounts import Caller, record_name
from newswire.article import Status
from newswire.functions import FunctionLibrary
from newswire.keyspace import INGEST_SCHEMA, Keyspace
from newswire.records import Head, pack, read_head, version_document
from newswire_ingest.publish import Version
from newswire_ingest.taxonomy import label_lines
from newswire_ingest.together import Together

TRIES = 5

Verdict = Literal[
    "OK",
    "REPEAT",
    "KEY_MISMATCH",
    "EXTERNAL_TAKEN",
    "STALE",
    "REVOKED",
    "MISSING",
    "RETRACTED",
    "OVER_QUOTA",
    "MISSPELT",
]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a function answered; ``article_id`` and ``version`` where the verdict speaks of one."""

    verdict: Verdict
    article_id: str = ""
    version: int = 0
    entry: str = ""


@dataclass(frozen=True, slots=True)
class Repeatable:
    """How a repeat of a request is known: the client's key within its account, method and path."""

    account: str
    method: str
    path: str
    key: str

    def digest(self) -> str:
        """Return the name of its record."""
        return hashlib.sha256(orjson.dumps([self.account, self.method, self.path, self.key])).hexdigest()


def publishing_functions(redis: "Redis", keys: Keyspace) -> FunctionLibrary:
    """Return the atomic functions of publishing, with what they count."""
    return FunctionLibrary.packaged(redis, keys.namespace, "newswire_ingest", "publish", "limits", "labels")


class ArticleStore:
    """Articles of all publishers in one Redis."""

    def __init__(self, redis: "Redis", keys: Keyspace, idempotency_lifetime: timedelta) -> None:
        self._redis = redis
        self._keys = keys
        self._lifetime = int(idempotency_lifetime.total_seconds())
        self.functions = publishing_functions(redis, keys)
        self.together = Together(redis, self.functions)

    async def load(self) -> None:
        """Load the functions before the first request needs them."""
        await self.functions.load()

    async def publish(
        self,
        version: Version,
        caller: Caller,
        fingerprint: str,
        now: datetime,
        repeatable: Repeatable | None,
        quota: tuple[str, int] = ("", 0),
    ) -> Outcome:
        """Put a version on record and on the stream, or tell why that is not what happened.

        A quota is the count of the account's new articles of the day, and how many there may be (0: any number).
        """
        keys = self._keys
        document = version.document_json
        answer = await self.together.call(
            "publish",
            [
                keys.article(version.id),
                keys.version(version.id, version.number),
                keys.key("idempotency", repeatable.digest()) if repeatable else "",
                keys.external(caller.account),
                keys.articles,
                keys.stream,
                record_name(keys, caller.key_id),
                quota[0],
            ],
            [
                version.id,
                version.number,
                fingerprint,
                caller.account,
                version.document.get("external_id", ""),
                caller.key_id,
                now.isoformat(),
                int(now.timestamp() * 1000),
                INGEST_SCHEMA,
                self._lifetime,
                version.event_head,
                document,
                keys.article(""),
                quota[1],
                pack(document),
                keys.key("labels", ""),
                label_lines(version.document),
            ],
        )
        return _outcome(answer)

    async def retract(self, head: Head, caller: Caller, tombstone: bytes, event: bytes, now: datetime) -> Outcome:
        """Erase every version and stream entry of an article, and put its tombstone and the event in their place."""
        keys = self._keys
        answer = await self.functions.call(
            "retract",
            [
                keys.article(head.id),
                keys.stream,
                keys.dead_letters_of(head.id),
                record_name(keys, caller.key_id),
                *(keys.version(head.id, number) for number in range(1, head.version + 1)),
            ],
            [head.version, tombstone, event, now.isoformat(), int(now.timestamp() * 1000), keys.key("labels", "")],
        )
        return _outcome(answer)

    async def find(self, article_id: str) -> tuple[Head, bytes | None] | None:
        """Return an article's head and the document of its last version (None once it is erased)."""
        head = await read_head(self._redis, self._keys, article_id)
        for _ in range(TRIES):
            if head is None or head.status is not Status.PUBLISHED:
                break
            document = await version_document(self._redis, self._keys, article_id, head.version)
            if document is not None:
                return head, document
            head = await read_head(self._redis, self._keys, article_id)  # between the two reads it was retracted
        return (head, None) if head else None


def _outcome(answer: list[Any]) -> Outcome:
    verdict: Verdict = answer[0].decode()
    match verdict:
        case "REPEAT" | "EXTERNAL_TAKEN":
            return Outcome(verdict, article_id=answer[1].decode())
        case "STALE":
            return Outcome(verdict, version=answer[1])
        case "OK":
            return Outcome(verdict, entry=answer[-1].decode())
        case _:
            return Outcome(verdict)
