"""What owners and operators do with newsletters and their readers, with one audit entry for each act.

The entry is written right after the act, not in the same step: newsletters may be on another Redis than the audit log. It names
readers by their ids, never by their addresses: those are erased from everywhere else.
"""

from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any

from redis.asyncio import Redis

from newswire.keys import Keyspace
from newswire.observability.audit import Act, Actor, record
from newswire_notify.newsletters.models import Newsletter, NewsletterDraft, Subscriber
from newswire_notify.newsletters.repository import Newsletters
from newswire_notify.newsletters.subscribers import Subscribers
from newswire_notify.newsletters.transfer import ImportReport, export_subscribers, import_subscribers


class NewsletterService:
    """The recorded acts. ``records`` is the Redis of the audit log."""

    def __init__(self, newsletters: Newsletters, subscribers: Subscribers, records: "Redis", keys: Keyspace) -> None:
        self._newsletters = newsletters
        self._subscribers = subscribers
        self._records = records
        self._keys = keys

    async def create(self, account: str, draft: NewsletterDraft, *, by: Actor) -> Newsletter:
        """Create a newsletter.

        Raises:
            newswire_notify.newsletters.repository.SlugTakenError: its slug was taken before, by whichever account.
            newswire_notify.newsletters.repository.TooManyNewslettersError: the account has as many as it may have.
        """
        made = await self._newsletters.add(account, draft)
        await self._record(by, Act.NEWSLETTER_CREATED, made)
        return made

    async def change(self, found: Newsletter, draft: NewsletterDraft, *, by: Actor) -> bool:
        """Replace a newsletter's document, unless it is the same; return False where a concurrent change came first."""
        if draft == found.draft:
            return True
        if not await self._newsletters.update(found, draft):
            return False
        await self._record(by, Act.NEWSLETTER_CHANGED, found)
        return True

    async def delete(self, found: Newsletter, *, by: Actor) -> None:
        """Delete a newsletter: nothing more is sent, and its readers are erased."""
        if await self._newsletters.remove(found):
            await self._record(by, Act.NEWSLETTER_DELETED, found)

    async def import_readers(
        self, newsletter: Newsletter, rows: Iterable[tuple[int, Mapping[str, str]]], source: str, *, by: Actor
    ) -> ImportReport:
        """Add readers with their proof of consent, as `import_subscribers` does."""
        report = await import_subscribers(self._subscribers, newsletter, rows, source)
        if report.stored:
            await self._record(by, Act.SUBSCRIBERS_IMPORTED, newsletter, **report.counts)
        return report

    async def export_readers(self, newsletter: Newsletter, *, by: Actor) -> AsyncIterator[dict[str, str]]:
        """Yield all readers as `export_subscribers` does. The entry comes first: an export that breaks off was begun."""
        await self._record(by, Act.SUBSCRIBERS_EXPORTED, newsletter)
        async for row in export_subscribers(self._subscribers, newsletter):
            yield row

    async def erase_reader(self, newsletter: Newsletter, reader: Subscriber, *, by: Actor) -> bool:
        """Delete all that is stored of a reader but the keyed hash of its address; return whether there was anything."""
        erased = await self._subscribers.erase(reader)
        if erased:
            await self._record(by, Act.SUBSCRIBER_ERASED, newsletter, subscriber=reader.id)
        return erased

    async def _record(self, by: Actor, act: Act, newsletter: Newsletter, **details: Any) -> None:
        about = {"account": newsletter.account, "slug": newsletter.draft.slug, **details}
        await record(self._records, self._keys, by, act, "newsletter", newsletter.id, **about)
