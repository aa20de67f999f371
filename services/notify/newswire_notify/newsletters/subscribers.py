"""Storage of subscribers: their records, the groups that get mail together, and the addresses that get none."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from ulid import ULID

from newswire.timestamps import epoch_ms
from newswire_notify.newsletters.addresses import AddressHashes
from newswire_notify.newsletters.models import (
    INSTANT_GROUP,
    Choices,
    Newsletter,
    Subscriber,
    SubscriberState,
)
from newswire_notify.newsletters.repository import Newsletters
from newswire_notify.newsletters.schedule import DigestTime, next_occurrence

REMINDER_AFTER = timedelta(hours=24)
UNCONFIRMED_ERASED_AFTER = timedelta(days=30)
UNSUBSCRIBED_ERASED_AFTER = timedelta(days=30)
EVERY_NEWSLETTER = "all"
"""The scope of addresses that get mail from no newsletter of the installation."""
PAGE = 500


@dataclass(frozen=True, slots=True)
class NewSubscriber:
    """What is stored of a new subscriber, whose address is checked and hashed."""

    address: str
    address_hash: str
    choices: Choices
    consent: Mapping[str, Any]
    language: str | None = None
    """None: that of the newsletter."""
    state: SubscriberState = SubscriberState.ACTIVE


class Subscribers:
    """The subscribers of all newsletters of one namespace."""

    def __init__(self, newsletters: Newsletters) -> None:
        self._newsletters = newsletters
        self._redis = newsletters.redis
        self._keys = newsletters.keys
        self.hashes = AddressHashes(newsletters.redis, newsletters.keys)

    @property
    def now(self) -> datetime:
        """The current time."""
        return datetime.fromtimestamp(self._newsletters.clock(), UTC)

    async def get(self, subscriber_id: str) -> Subscriber | None:
        """Return a subscriber, or None where it does not exist any more."""
        fields: dict[bytes, bytes] = await self._redis.hgetall(self._keys.key("newsletter_subscriber", subscriber_id))
        return Subscriber.read(fields) if fields else None

    async def by_address(self, newsletter: Newsletter, address: str) -> Subscriber | None:
        """Return the subscriber with an address, or None."""
        name = self._keys.key("newsletter_addresses", newsletter.id)
        found = await self._redis.hget(name, await self.hashes.of(address))
        return None if found is None else await self.get(found.decode())

    async def add(
        self,
        newsletter: Newsletter,
        address: str,
        choices: Choices,
        consent: Mapping[str, Any],
        *,
        state: SubscriberState = SubscriberState.PENDING,
        language: str | None = None,
    ) -> Subscriber:
        """Add a subscriber, or return the one that the address has already."""
        now = self.now
        new = NewSubscriber(address, await self.hashes.of(address), choices, consent, language, state)
        arguments = _added(newsletter, new, now) | _next_digest(choices, now)
        answer = await self._newsletters.call("add_subscriber", **arguments)
        subscriber_id = arguments["id"]
        added: str = answer.decode()
        if added == subscriber_id and state is SubscriberState.PENDING:
            await self._expect_confirmation(subscriber_id, now)
        found = await self.get(added)
        if found is None:
            raise LookupError(added)
        return found

    async def add_active(self, newsletter: Newsletter, subscribers: Sequence[NewSubscriber]) -> int:
        """Add active subscribers in one round trip; return how many addresses had no subscriber before."""
        now = self.now
        groups = {new.choices.group: new.choices for new in subscribers}
        upcoming = {group: _next_digest(choices, now) for group, choices in groups.items()}
        calls = [_added(newsletter, new, now) | upcoming[new.choices.group] for new in subscribers]
        answers = await self._newsletters.call_each("add_subscriber", calls)
        return sum(answer.decode() == call["id"] for answer, call in zip(answers, calls, strict=True))

    async def standings(self, newsletter_id: str, address_hashes: Sequence[str]) -> list[tuple[bool, bool]]:
        """Return for each address whether it is suppressed, and whether it has a subscriber, in one round trip."""
        name = self._keys.key
        sets = [name("newsletter_suppressed", scope) for scope in (newsletter_id, EVERY_NEWSLETTER)]
        async with self._redis.pipeline(transaction=False) as pipe:
            for address_hash in address_hashes:
                for key in (*sets, name("newsletter_addresses", newsletter_id)):
                    pipe.hexists(key, address_hash)
            found = await pipe.execute()
        return [(one or every, known) for one, every, known in zip(found[::3], found[1::3], found[2::3], strict=True)]

    async def change(
        self,
        subscriber: Subscriber,
        *,
        state: SubscriberState | None = None,
        choices: Choices | None = None,
        only_from: Sequence[SubscriberState] = (),
        **fields: str,
    ) -> SubscriberState | None:
        """Change a subscriber; return its state before, or None where it was in none of ``only_from`` or does not exist."""
        changed = fields | (_choice_fields(choices) if choices else {}) | ({"state": str(state)} if state else {})
        states = "|" + "|".join(map(str, only_from)) + "|" if only_from else ""
        scheduled = state is SubscriberState.ACTIVE or choices is not None
        named = {"from": states, **(_next_digest(choices or subscriber.choices, self.now) if scheduled else {})}
        before = await self._newsletters.call("change_subscriber", id=subscriber.id, fields=changed, **named)
        if not before:
            return None
        if state is SubscriberState.PENDING:
            await self._expect_confirmation(subscriber.id, self.now)
        elif state is not None:
            await self._expect_nothing(subscriber.id, erased=state is SubscriberState.UNSUBSCRIBED)
        return SubscriberState(before.decode())

    async def erase(self, subscriber: Subscriber, reason: str | None = "erased") -> bool:
        """Delete all that is stored of a subscriber; the keyed hash of the address stays suppressed where there is a reason."""
        if reason is not None:
            await self.suppress(subscriber.newsletter, subscriber.address_hash, reason)
        return bool(await self._newsletters.call("erase_subscriber", id=subscriber.id))

    async def attach(self, subscriber_id: str) -> bool:
        """Put a restored subscriber where its record says; return False where it was erased meanwhile, and is deleted."""
        expires = epoch_ms(self.now + UNCONFIRMED_ERASED_AFTER)
        fields = await self._redis.hgetall(self._keys.key("newsletter_subscriber", subscriber_id))
        active = fields.get(b"state") == SubscriberState.ACTIVE.encode()
        named = _next_digest(Subscriber.read(fields).choices, self.now) if active else {}
        return bool(await self._newsletters.call("attach_subscriber", id=subscriber_id, expires=expires, **named))

    async def suppress(self, scope: str, address_hash: str, reason: str) -> None:
        """Note that an address gets no mail in a scope: a newsletter's id, or `EVERY_NEWSLETTER`."""
        await self.suppress_all(scope, {address_hash: reason})

    async def suppress_all(self, scope: str, reasons: Mapping[str, str]) -> None:
        """Note that addresses get no mail in a scope; ``reasons``: by the hash of the address."""
        at = epoch_ms(self.now)
        notes = {address_hash: orjson.dumps({"reason": reason, "at": at}) for address_hash, reason in reasons.items()}
        if notes:
            await self._redis.hset(self._keys.key("newsletter_suppressed", scope), mapping=notes)

    async def unsuppress(self, scope: str, address_hash: str) -> None:
        """Let an address get mail again, after a new opt-in of its reader."""
        await self._redis.hdel(self._keys.key("newsletter_suppressed", scope), address_hash)

    async def suppression(self, newsletter_id: str, address_hash: str) -> str | None:
        """Return why an address gets no mail from a newsletter, or None."""
        async with self._redis.pipeline(transaction=False) as pipe:
            for scope in (newsletter_id, EVERY_NEWSLETTER):
                pipe.hget(self._keys.key("newsletter_suppressed", scope), address_hash)
            found = await pipe.execute()
        return next((str(orjson.loads(note)["reason"]) for note in found if note), None)

    async def all_of(self, newsletter_id: str) -> AsyncIterator[Subscriber]:
        """Go through all subscribers of a newsletter."""
        name = self._keys.key("newsletter_members", newsletter_id)
        cursor = 0
        while True:
            cursor, page = await self._redis.zscan(name, cursor, count=PAGE)
            async with self._redis.pipeline(transaction=False) as pipe:
                for member, _ in page:
                    pipe.hgetall(self._keys.key("newsletter_subscriber", member.decode()))
                records = await pipe.execute()
            for fields in records:
                if fields:
                    yield Subscriber.read(fields)
            if cursor == 0:
                return

    async def _expect_confirmation(self, subscriber_id: str, now: datetime) -> None:
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.zadd(self._keys.key("newsletter_reminders"), {subscriber_id: epoch_ms(now + REMINDER_AFTER)})
            pipe.zadd(self._keys.key("newsletter_expiring"), {subscriber_id: epoch_ms(now + UNCONFIRMED_ERASED_AFTER)})
            await pipe.execute()

    async def _expect_nothing(self, subscriber_id: str, *, erased: bool) -> None:
        expiring = self._keys.key("newsletter_expiring")
        await self._redis.zrem(self._keys.key("newsletter_reminders"), subscriber_id)
        if erased:
            await self._redis.zadd(expiring, {subscriber_id: epoch_ms(self.now + UNSUBSCRIBED_ERASED_AFTER)})
        else:
            await self._redis.zrem(expiring, subscriber_id)


def _added(newsletter: Newsletter, new: NewSubscriber, now: datetime) -> dict[str, Any]:
    """Return the arguments of `add_subscriber`."""
    subscriber_id = f"sr_{str(ULID()).lower()}"
    fields = {
        "id": subscriber_id,
        "newsletter": newsletter.id,
        "address": new.address,
        "address_hash": new.address_hash,
        "state": str(new.state),
        "created": str(epoch_ms(now)),
        "language": new.language or newsletter.draft.language,
        "consent": orjson.dumps(dict(new.consent)).decode(),
        "schema": "1",
        **_choice_fields(new.choices),
    }
    return {
        "id": subscriber_id,
        "newsletter": newsletter.id,
        "hash": new.address_hash,
        "fields": fields,
        "now": epoch_ms(now),
    }


def _next_digest(choices: Choices, now: datetime) -> dict[str, Any]:
    """Return when the group of a reader is due next, as Redis functions take it; nothing for one who gets alerts."""
    if choices.group == INSTANT_GROUP:
        return {}
    due = next_occurrence(DigestTime.of_group(choices.group), now)
    return {"upcoming": {"group": choices.group, "due": epoch_ms(due.at), "now": epoch_ms(now)}}


def _choice_fields(choices: Choices) -> dict[str, str]:
    return {
        "cadence": str(choices.cadence),
        "zone": choices.zone,
        "hour": str(choices.hour),
        "weekday": str(choices.weekday),
        "topics": orjson.dumps(choices.topics).decode(),
        "group": choices.group,
    }
