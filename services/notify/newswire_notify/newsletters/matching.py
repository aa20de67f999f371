"""Which newsletters an article belongs to: by the index of filters that subscriptions use too."""

from collections.abc import Iterable
from dataclasses import dataclass

from redis.asyncio import Redis

from newswire.auth.accounts import find_account
from newswire.events import ArticlePublished, Kind
from newswire.filters import ArticleFeatures, Filter
from newswire.keys import Keyspace
from newswire_notify.fanout.filter_index import FilterIndex
from newswire_notify.newsletters.models import Newsletter
from newswire_notify.newsletters.repository import Newsletters

_KINDS = [str(kind) for kind in Kind]


@dataclass(frozen=True, slots=True)
class MatchedNewsletter:
    """A newsletter that an article belongs to, and which of its topics the article matches."""

    newsletter: Newsletter
    topics: tuple[str, ...]


class NewsletterMatcher:
    """Holds the filters of all newsletters; it reads them again when one has changed."""

    def __init__(self, newsletters: Newsletters) -> None:
        self._newsletters = newsletters
        self._index = FilterIndex()
        self._known: dict[str, Newsletter] = {}
        self._changes = -1
        self._languages: set[str] = set()

    async def catch_up(self, languages: Iterable[str]) -> None:
        """Read newsletters that have changed, and prepare the filters for the languages of the next articles."""
        changes = await self._newsletters.changes()
        if changes != self._changes:
            self._index, self._languages = FilterIndex(), set()
            self._known = {found.id: found for found in await self._newsletters.active()}
            for found in self._known.values():
                self._index.add(found.id, found.draft.filter, _KINDS)
                for at, topic in enumerate(found.draft.topics):
                    self._index.add(f"{found.id}#{at}", topic.filter, _KINDS)
            self._changes = changes
        for language in set(languages) - self._languages:
            await self._index.prepare(language)
            self._languages.add(language)

    @property
    def all(self) -> list[Newsletter]:
        """The newsletters that send."""
        return list(self._known.values())

    def match(self, article: ArticlePublished, features: ArticleFeatures | None = None) -> list[MatchedNewsletter]:
        """Return the newsletters that an article belongs to: their filter matches, and one of their topics where they have any."""
        if not self._known:
            return []
        matched = set(self._index.match(article, features))
        found = []
        for newsletter in self._known.values():
            if newsletter.id not in matched:
                continue
            labels = newsletter.labels
            topics = tuple(label for at, label in enumerate(labels) if f"{newsletter.id}#{at}" in matched)
            found.append(MatchedNewsletter(newsletter, topics))
        return found


async def may_send(records: "Redis", keys: Keyspace, newsletter: Newsletter, features: ArticleFeatures) -> bool:
    """Return whether the account of a newsletter may send an article to its readers: it is not disabled, and entitled to it."""
    account = await find_account(records, keys, newsletter.account)
    if account is None:
        return True
    return account.disabled_at is None and is_entitled(account.entitlement, features)


def is_entitled(entitlement: Filter | None, features: ArticleFeatures) -> bool:
    """Return whether an account may send an article to its readers."""
    return entitlement is None or entitlement.matches(features)
