"""The audit log: who did what, to what, and when. Append-only: a Redis stream in the Redis of the records.

An entry never contains a secret or the text of an article. Entries are deleted by age alone (``NEWSWIRE_AUDIT_RETENTION``), and
a separate entry records how many were deleted.
"""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

import orjson
from redis.asyncio import Redis
from redis.exceptions import RedisError

from newswire.keys import Keyspace

log = logging.getLogger(__name__)

FIELD = "entry"
MAX_VALUE_LENGTH = 1000
"""Maximum of characters of a text among the details."""
SCAN_PAGE = 500
MAX_SCANNED = 10_000
"""Entries scanned for one page; a narrow filter continues with the next page."""
SECONDS_BETWEEN_TRIMS = 3600.0
_TRIM_RETRY_SECONDS = 60.0


class ActorType(StrEnum):
    """The type of an actor."""

    KEY = "key"
    USER = "user"
    """A person who signed in with a browser."""
    PORTAL_LINK = "portal_link"
    """A person who opened a one-time link to the portal; ``key_id`` is the key that made the link."""
    COMMAND_LINE = "command_line"
    SYSTEM = "system"


class Act(StrEnum):
    """What was done."""

    ACCOUNT_CREATED = "account.created"
    ACCOUNT_LIMITED = "account.limited"
    ACCOUNT_ENTITLED = "account.entitled"
    ACCOUNT_DISABLED = "account.disabled"
    ACCOUNT_ENABLED = "account.enabled"
    KEY_CREATED = "key.created"
    KEY_ROTATED = "key.rotated"
    KEY_REVOKED = "key.revoked"
    SUBSCRIPTION_CREATED = "subscription.created"
    SUBSCRIPTION_CHANGED = "subscription.changed"
    SUBSCRIPTION_DELETED = "subscription.deleted"
    SUBSCRIPTION_ENABLED = "subscription.enabled"
    SUBSCRIPTION_TESTED = "subscription.tested"
    DELIVERIES_REPLAYED = "deliveries.replayed"
    DELIVERY_CANCELLED = "delivery.cancelled"
    PORTAL_LINKED = "portal.linked"
    """A one-time link to the portal was made."""
    PORTAL_OPENED = "portal.opened"
    """A one-time link was used."""
    SUBSCRIPTION_PAUSED = "subscription.paused"
    SUBSCRIPTION_RESUMED = "subscription.resumed"
    SUBSCRIPTION_ENDED = "subscription.ended"
    SECRET_ROTATED = "subscription.secret_rotated"  # noqa: S105 (the name of an act)
    ARTICLE_PUBLISHED = "article.published"
    ARTICLE_SCHEDULED = "article.scheduled"
    ARTICLE_UPDATED = "article.updated"
    ARTICLE_CORRECTED = "article.corrected"
    ARTICLE_CANCELLED = "article.cancelled"
    ARTICLE_RETRACTED = "article.retracted"
    ARTICLE_RELEASED = "article.released"
    DRAFT_CREATED = "draft.created"
    DRAFT_SAVED = "draft.saved"
    DRAFT_RESTORED = "draft.restored"
    """A draft has the text of an earlier revision again."""
    DRAFT_DISCARDED = "draft.discarded"
    DRAFT_RECOVERED = "draft.recovered"
    DRAFT_ERASED = "draft.erased"
    SETTING_CHANGED = "setting.changed"
    BACKUP_MADE = "backup.made"
    BACKUP_RESTORED = "backup.restored"
    ARCHIVE_ADOPTED = "archive.adopted"
    """The archive of old texts belongs to this installation from now on."""
    KEYS_RENAMED = "namespace.renamed"
    AUDIT_TRIMMED = "audit.trimmed"
    AUTHENTICATION_SLOWED_DOWN = "authentication.slowed_down"
    USER_CREATED = "user.created"
    USER_CHANGED = "user.changed"
    USER_LINKED = "user.linked"
    """A one-time link was made for a user."""
    USER_PASSWORD_SET = "user.password_set"  # noqa: S105 (the name of an act)
    USER_PASSWORD_REMOVED = "user.password_removed"  # noqa: S105 (the name of an act)
    USER_PASSKEY_ADDED = "user.passkey_added"
    USER_PASSKEY_REMOVED = "user.passkey_removed"
    USER_PASSKEY_CLONED = "user.passkey_cloned"
    """A sign-in was refused: the counter of the passkey went back, so there are two authenticators with it."""
    USER_IDENTITY_LINKED = "user.identity_linked"
    """A person of an OpenID provider is a user from now on."""
    USER_IDENTITY_UNLINKED = "user.identity_unlinked"
    USER_DISABLED = "user.disabled"
    USER_ENABLED = "user.enabled"
    USER_DELETED = "user.deleted"
    USER_SIGNED_IN = "user.signed_in"
    USER_SIGNED_OUT = "user.signed_out"
    MEDIA_ADDED = "media.added"
    MEDIA_CHANGED = "media.changed"
    MEDIA_DELETED = "media.deleted"
    NEWSLETTER_CREATED = "newsletter.created"
    NEWSLETTER_CHANGED = "newsletter.changed"
    NEWSLETTER_DELETED = "newsletter.deleted"
    SUBSCRIBERS_IMPORTED = "newsletter.subscribers_imported"
    SUBSCRIBERS_EXPORTED = "newsletter.subscribers_exported"
    SUBSCRIBER_ERASED = "newsletter.subscriber_erased"
    """An operator erased a reader; what readers do themselves is in their proof of consent."""
    LABEL_MERGED = "label.merged"
    IMPORT_UPLOADED = "import.uploaded"
    IMPORT_STARTED = "import.started"
    IMPORT_CANCELLED = "import.cancelled"
    IMPORT_ENDED = "import.ended"
    """A started import has ended by itself."""
    IMPORT_REMOVED = "import.removed"
    DEAD_LETTER_RETRIED = "dead_letter.retried"
    DEAD_LETTER_DROPPED = "dead_letter.dropped"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who did something: an API key with its account, or a user, and the address it came from; the command line; or Newswire
    itself.
    """

    type: ActorType
    key_id: str | None = None
    account: str | None = None
    address: str | None = None
    user_id: str | None = None


COMMAND_LINE = Actor(ActorType.COMMAND_LINE)
SYSTEM = Actor(ActorType.SYSTEM)


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One entry. ``id`` is that of the stream: its first part is the time, in ms since the epoch."""

    id: str
    actor: Actor
    act: str
    target_type: str
    target: str
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def time(self) -> datetime:
        """When it was done."""
        return datetime.fromtimestamp(int(self.id.partition("-")[0]) / 1000, UTC)


@dataclass(frozen=True, slots=True)
class AuditPage:
    """Entries, newest first, and the id after which the next page starts; None on the last page."""

    entries: list[AuditEntry]
    next_id: str | None


async def record(
    redis: "Redis", keys: Keyspace, actor: Actor, act: Act, target_type: str, target: str, **details: Any
) -> None:
    """Append an entry. ``details`` must contain neither secrets nor article text; None values are omitted."""
    await redis.xadd(keys.audit_log, {FIELD: new_entry(actor, act, target_type, target, **details)})


def new_entry(actor: Actor, act: Act, target_type: str, target: str, **details: Any) -> bytes:
    """Return an entry as `record` appends it, for atomic functions that append it with what they change."""
    kept = {name: _bounded(value) for name, value in details.items() if value is not None}
    content = {
        "actor": {name: getattr(actor, name) for name in ("type", "key_id", "account", "address", "user_id")},
        "act": act,
        "target_type": target_type,
        "target": _bounded(target),
        "details": kept,
    }
    return orjson.dumps(content)


async def read_page(
    redis: "Redis",
    keys: Keyspace,
    *,
    limit: int,
    before: str | None = None,
    since: datetime | None = None,
    act: str | None = None,
    target: str | None = None,
) -> AuditPage:
    """Return entries, newest first: optionally those before an id, since a time, of one act (or kind: ``account.``), or on one
    target.
    """
    first = "-" if since is None else str(max(int(since.timestamp() * 1000), 0))
    found: list[AuditEntry] = []
    end, scanned = f"({before}" if before else "+", 0
    while scanned < MAX_SCANNED:
        page = await redis.xrevrange(keys.audit_log, end, first, count=SCAN_PAGE)
        for entry_id, fields in page:
            entry = _read(entry_id.decode(), fields[FIELD.encode()])
            wanted_act = act is None or entry.act == act or (act.endswith(".") and entry.act.startswith(act))
            if wanted_act and target in (None, entry.target):
                if len(found) == limit:
                    return AuditPage(found, found[-1].id)
                found.append(entry)
            end = f"({entry.id}"
        scanned += len(page)
        if len(page) < SCAN_PAGE:
            return AuditPage(found, None)
    return AuditPage(found, end.removeprefix("("))


async def trim(redis: "Redis", keys: Keyspace, retention: timedelta, *, now: datetime | None = None) -> int:
    """Delete the entries that are older than the retention, and record how many; return the number."""
    oldest = (now or datetime.now(UTC)) - retention
    gone = int(await redis.xtrim(keys.audit_log, minid=str(max(int(oldest.timestamp() * 1000), 0)), approximate=False))
    if gone:
        details = {"entries": gone, "older_than": oldest.isoformat(timespec="seconds")}
        await record(redis, keys, SYSTEM, Act.AUDIT_TRIMMED, "audit_log", "audit_log", **details)
        log.info("the audit log was trimmed", extra=details)
    return gone


async def note_setting(redis: "Redis", keys: Keyspace, name: str, value: bool) -> None:
    """Record that a setting changed since a process last started; the initial value is off."""
    former = await redis.hget(keys.key("settings"), name)
    before, after = (former or b"false").decode(), str(value).lower()
    if before != after:
        await redis.hset(keys.key("settings"), name, after)
        await record(redis, keys, SYSTEM, Act.SETTING_CHANGED, "setting", name, before=before, after=after)


async def keep_trimming(redis: "Redis", keys: Keyspace, retention: timedelta, stopping: asyncio.Event) -> None:
    """Trim every hour until stopping is set."""
    while not stopping.is_set():
        wait = SECONDS_BETWEEN_TRIMS
        try:
            await trim(redis, keys, retention)
        except (RedisError, OSError) as error:
            log.warning("the audit log was not trimmed", extra={"reason": str(error)})
            wait = _TRIM_RETRY_SECONDS
        try:
            await asyncio.wait_for(stopping.wait(), wait)
        except TimeoutError:
            continue


def _bounded(value: Any) -> Any:
    if isinstance(value, str):
        return value if len(value) <= MAX_VALUE_LENGTH else f"{value[:MAX_VALUE_LENGTH]}…"
    return value


def _read(entry_id: str, stored: bytes) -> AuditEntry:
    content = orjson.loads(stored)
    actor = content["actor"]
    return AuditEntry(
        entry_id,
        Actor(ActorType(actor["type"]), actor["key_id"], actor["account"], actor["address"], actor.get("user_id")),
        content["act"],
        content["target_type"],
        content["target"],
        content["details"],
    )
