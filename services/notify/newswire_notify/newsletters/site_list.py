"""Keeps the list of newsletters that the reader site shows as it is: see `newswire.newsletters`."""

from redis.asyncio import Redis

from newswire.keys import Keyspace
from newswire.newsletters import PublicNewsletter, write_public_newsletters
from newswire_notify.newsletters.models import Newsletter
from newswire_notify.newsletters.repository import Newsletters
from newswire_notify.newsletters.texts import text_language, texts

_FORM_TEXTS = ("email", "topics", "topics_hint", "subscribe", "consent")


class SiteList:
    """Writes the list after each change of a newsletter, and once after a start."""

    def __init__(self, newsletters: Newsletters, records: "Redis", keys: Keyspace) -> None:
        self._newsletters = newsletters
        self._records = records
        self._keyspace = keys
        self._written = -1

    async def refresh(self) -> None:
        """Write the list if a newsletter has changed."""
        changes = await self._newsletters.changes()
        if changes == self._written:
            return
        await write_public_newsletters(self._records, self._keyspace, map(_public, await self._newsletters.active()))
        self._written = changes


def _public(newsletter: Newsletter) -> PublicNewsletter:
    language = text_language(newsletter.draft.language)
    return PublicNewsletter(
        slug=newsletter.draft.slug,
        name=newsletter.draft.name,
        description=newsletter.draft.description,
        language=newsletter.draft.language,
        text_language=language,
        topics=newsletter.labels,
        texts={name: texts(language)[name] for name in _FORM_TEXTS},
    )
