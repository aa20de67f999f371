"""Storage of newsletters."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from redis.asyncio import Redis
from ulid import ULID

from newswire.keys import Keyspace
from newswire.storage.redis_functions import Call, FunctionLibrary, LuaSource
from newswire_notify.newsletters.keys import NewsletterKeys
from newswire_notify.newsletters.models import Newsletter, NewsletterDraft

LUA = LuaSource("newswire_notify.newsletters", "mail_claims", ("newsletters", "mails", "mail_plans"))
MAX_PER_ACCOUNT = 200


class SlugTakenError(Exception):
    """Another newsletter has or had this slug."""


class TooManyNewslettersError(Exception):
    """The account has as many newsletters as it may have."""


def newsletter_functions(redis: "Redis", keys: Keyspace) -> FunctionLibrary:
    """Return the library of the atomic steps of newsletters and mails."""
    route = [NewsletterKeys(keys).key("newsletters_changed")]
    return FunctionLibrary.packaged(redis, keys.namespace, LUA, route=route)


class Newsletters:
    """The newsletters of one namespace."""

    def __init__(self, redis: "Redis", keys: Keyspace, clock: Callable[[], float] = time.time) -> None:
        self.redis = redis
        self.keys = NewsletterKeys(keys)
        self.clock = clock
        self._functions = newsletter_functions(redis, keys)

    async def call(self, function: str, **arguments: Any) -> Any:
        """Call an atomic step with named arguments."""
        return await self._functions.call(function, [], {"prefix": self.keys.prefix, **arguments})

    async def call_each(self, function: str, arguments: Iterable[Mapping[str, Any]]) -> list[Any]:
        """Call an atomic step for each of several arguments, in one round trip; raise the error of the first that failed."""
        calls = [Call(function, (), {"prefix": self.keys.prefix, **each}) for each in arguments]
        answers = await self._functions.call_all(calls) if calls else []
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        return answers

    async def add(self, account: str, draft: NewsletterDraft) -> Newsletter:
        """Create a newsletter.

        Raises:
            SlugTakenError: its slug was taken before, by whichever account.
            TooManyNewslettersError: the account has `MAX_PER_ACCOUNT` newsletters.
        """
        newsletter_id = f"nl_{str(ULID()).lower()}"
        answer = await self.call(
            "create_newsletter",
            id=newsletter_id,
            account=account,
            slug=draft.slug,
            document=_document(draft),
            active=draft.status == "active",
            now=int(self.clock() * 1000),
            limit=MAX_PER_ACCOUNT,
        )
        if answer == b"SLUG":
            raise SlugTakenError(draft.slug)
        if answer == b"LIMIT":
            raise TooManyNewslettersError
        created = await self.find(newsletter_id)
        if created is None:
            raise LookupError(newsletter_id)
        return created

    async def update(self, found: Newsletter, draft: NewsletterDraft) -> bool:
        """Replace a newsletter's document; return False where a concurrent change came first."""
        answer = await self.call(
            "update_newsletter",
            id=found.id,
            revision=found.revision,
            document=_document(draft),
            active=draft.status == "active",
        )
        return bool(answer == b"OK")

    async def remove(self, found: Newsletter) -> bool:
        """Delete a newsletter: nothing more is sent, and its slug stays taken. Return whether it was there."""
        return bool(await self.call("delete_newsletter", id=found.id, account=found.account))

    async def find(self, newsletter_id: str) -> Newsletter | None:
        """Return a newsletter, deleted ones included."""
        fields: dict[bytes, bytes] = await self.redis.hgetall(self.keys.key("newsletter", newsletter_id))
        return Newsletter.read(fields) if fields else None

    async def find_all(self, ids: Iterable[str]) -> dict[str, Newsletter]:
        """Return newsletters by id, deleted ones included."""
        return {found.id: found for found in await self._read([newsletter_id.encode() for newsletter_id in ids])}

    async def by_slug(self, slug: str) -> Newsletter | None:
        """Return the newsletter with a slug, deleted ones included."""
        found = await self.redis.hget(self.keys.key("newsletter_slugs"), slug)
        return None if found is None else await self.find(found.decode())

    async def of(self, account: str) -> list[Newsletter]:
        """Return the newsletters of an account, oldest first; at most `MAX_PER_ACCOUNT`."""
        return await self._read(await self.redis.zrange(self.keys.key("newsletters", account), 0, -1))

    async def active(self) -> list[Newsletter]:
        """Return all newsletters that send."""
        return [
            found
            for found in await self._read(sorted(await self.redis.smembers(self.keys.key("newsletters_active"))))
            if found.is_sending
        ]

    async def changes(self) -> int:
        """Return how often newsletters were changed: what was read before is current while this stays the same."""
        return int(await self.redis.get(self.keys.key("newsletters_changed")) or 0)

    async def counts(self, newsletter_id: str) -> dict[str, int]:
        """Return how many subscribers are in each state."""
        found = await self.redis.hgetall(self.keys.key("newsletter_counts", newsletter_id))
        return {state.decode(): int(count) for state, count in found.items() if int(count)}

    async def _read(self, ids: Sequence[bytes]) -> list[Newsletter]:
        async with self.redis.pipeline(transaction=False) as pipe:
            for newsletter_id in ids:
                pipe.hgetall(self.keys.key("newsletter", newsletter_id.decode()))
            records = await pipe.execute()
        return [Newsletter.read(fields) for fields in records if fields]


def _document(draft: NewsletterDraft) -> str:
    return draft.model_dump_json(exclude_defaults=True)
