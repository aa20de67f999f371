"""The store of drafts. A write states what it is based on; if another one came first, nothing is written."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from redis.asyncio import Redis

from newswire.auth.credentials import CALLER_IS_BARRED, key_record
from newswire.keys import INGEST_SCHEMA, Keyspace
from newswire.media import files_in
from newswire.observability.audit import Actor
from newswire.storage.article_records import pack, unpack
from newswire.storage.redis_functions import FLAT_FIELDS, FunctionLibrary, LuaSource
from newswire.timestamps import epoch_ms, utc_now
from newswire_ingest.drafts.records import FIELDS, LISTED_FIELDS, StoredDraft, decoded, encoded
from newswire_ingest.media.repository import USES, media_names

LUA = LuaSource("newswire_ingest.drafts", "drafts", (FLAT_FIELDS, CALLER_IS_BARRED, *USES))
Verdict = Literal["OK", "BARRED", "STALE", "TOO_MANY", "TOO_LARGE"]
_PAGE = 100


@dataclass(frozen=True, slots=True)
class DraftLimits:
    """How many drafts an account has at most, and how many bytes their revisions take, as stored."""

    drafts: int
    size: int


@dataclass(frozen=True, slots=True)
class DraftWrite:
    """A change of a draft: before (None for a new one) and after, the text of a new revision, and its entry in the audit log.

    ``by``: who changes it, which is checked again in the same step; None completes what was admitted before.
    """

    before: StoredDraft | None
    after: StoredDraft
    by: Actor | None
    text: bytes | None = None
    """The packed text of the newest revision, if it is new."""
    dropped: Sequence[int] = ()
    entry: bytes = b""
    recovered: bytes | None = None
    """The text that a discarded draft has again: its images are used again."""


class DraftStore:
    """Reads and writes the drafts of all accounts in one Redis."""

    def __init__(self, redis: "Redis", keys: Keyspace, limits: DraftLimits, site: str) -> None:
        self._site = site
        self._redis = redis
        self._keys = keys
        self._limits = limits
        self._functions = FunctionLibrary.packaged(redis, keys.namespace, LUA)

    async def read(self, draft_id: str, number: int | None = None) -> tuple[StoredDraft, bytes | None] | None:
        """Return a draft and the text of its current revision, or of another one; None if there is no such draft."""
        if not draft_id.removeprefix("dft_").isalnum():  # other characters could address a record of another kind
            return None
        arguments = {"fields": FIELDS, "number": "" if number is None else str(number)}
        *found, text = await self._functions.call("read_draft", [self._draft(draft_id)], arguments)
        if found[0] is None:
            return None
        fields = {name: value for name, value in zip(FIELDS, found, strict=True) if value is not None}
        return decoded(fields), unpack(text) if text else None

    async def write(self, change: DraftWrite) -> Verdict:
        """Write a change."""
        before, after, keys = change.before, change.after, self._keys
        fields = encoded(after) | {"schema": str(INGEST_SCHEMA)}
        former = encoded(before) if before else {}
        arguments = {
            "id": after.id,
            "expected": str(before.stamp) if before else "",
            "fields": {name: value for name, value in fields.items() if former.get(name) != value},
            "removed": [*(former.keys() - fields.keys()), *(f"text:{number}" for number in change.dropped)],
            "updated_ms": epoch_ms(after.updated_at),
            "discarded_ms": epoch_ms(after.discarded_at) if after.discarded_at else "",
            "article": after.article or "",
            "grows": after.size - (before.size if before else 0),
            "max_drafts": self._limits.drafts,
            "max_bytes": self._limits.size,
            "now_ms": epoch_ms(utc_now()),
            "text": f"text:{after.sequence}" if change.text is not None else "",
            "media": files_in(self._site, [_text(change)]),
            "media_names": media_names(keys),
            "owner": after.account,
        }
        names = [*self._names(after), keys.audit_log, keys.key("account", after.account), self._caller(change.by)]
        verdict: Verdict = (
            await self._functions.call("write_draft", names, arguments, [change.text or b"", change.entry])
        ).decode()
        return verdict

    async def erase(self, draft: StoredDraft, entry: bytes) -> bool:
        """Erase a draft with all its revisions; return whether it was as it was read."""
        arguments = {"id": draft.id, "expected": str(draft.stamp), "article": draft.article or "", "size": draft.size}
        arguments |= {"media_names": media_names(self._keys), "owner": draft.account}
        names = [*self._names(draft), self._keys.audit_log, self._keys.last_erasure]
        return bool(await self._functions.call("erase_draft", names, arguments, [entry]) == b"OK")

    async def page(self, account: str, after: tuple[int, str] | None) -> list[tuple[StoredDraft, int]]:
        """Return drafts without history, those changed last first, each with the time of its change in ms."""
        name = self._keys.key("drafts", "of", account)
        highest = "+inf" if after is None else after[0]
        offset = 0
        ids: list[tuple[str, int]] = []
        while not ids:
            found = await self._redis.zrange(
                name, highest, "-inf", desc=True, byscore=True, offset=offset, num=_PAGE, withscores=True
            )
            places = [(raw.decode(), int(score)) for raw, score in found]
            ids = [place for place in places if after is None or (place[1], place[0]) < after]
            offset += len(found)
            if len(found) < _PAGE:
                break
        async with self._redis.pipeline(transaction=False) as pipe:
            for draft_id, _ in ids:
                pipe.hmget(self._draft(draft_id), LISTED_FIELDS)
            records = await pipe.execute()
        drafts = []
        for (_, changed), record in zip(ids, records, strict=True):
            if record[0] is not None:
                fields = {name: value for name, value in zip(LISTED_FIELDS, record, strict=True) if value is not None}
                drafts.append((decoded(fields), changed))
        return drafts

    async def draft_of_article(self, account: str, article_id: str) -> str | None:
        """Return the id of the draft that edits an article."""
        found: bytes | None = await self._redis.hget(self._keys.key("drafts", "articles", account), article_id)
        return found.decode() if found else None

    async def discarded_before(self, moment: datetime, limit: int) -> list[str]:
        """Return the ids of drafts that were discarded before a time."""
        found = await self._redis.zrange(
            self._keys.key("drafts", "discarded"), "-inf", epoch_ms(moment), byscore=True, offset=0, num=limit
        )
        return [raw.decode() for raw in found]

    def _names(self, draft: StoredDraft) -> list[str]:
        key = self._keys.key
        return [
            self._draft(draft.id),
            key("drafts", "of", draft.account),
            key("drafts", "discarded"),
            key("drafts", "articles", draft.account),
            key("drafts", "bytes", draft.account),
        ]

    def _caller(self, by: Actor | None) -> str:
        if by is None:
            return ""
        return self._keys.key("user", by.user_id) if by.user_id else key_record(self._keys, by.key_id or "")

    def _draft(self, draft_id: str) -> str:
        return self._keys.key("draft", draft_id)


def _text(change: DraftWrite) -> str:
    text = change.recovered if change.text is None else unpack(change.text)
    return text.decode() if text else ""


def packed(text: bytes) -> bytes:
    """Return a text in its stored form."""
    return pack(text)
