"""Which filters an article matches, at a cost that follows the number of matches, not of subscriptions.

Subscriptions share filters, so only distinct filters are kept. Each is filed under one thing that an article must have for it
to match (a term of its query, or a value of a field), the rarest one; an article brings up only the filters filed under what it
has, and these are verified by `Filter.matches`. A filter without such a thing is verified against every article.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

import orjson
from redis.asyncio import Redis

from newswire.events import ArticlePublished
from newswire.filters import FIELDS, Facts, Filter
from newswire.folding import fold
from newswire.keyspace import Keyspace
from newswire.matching import Analysed, Both, Either, Phrase, Place

Key: TypeAlias = str
"""Something an article has: a term, or a field and a folded value (`field_key`)."""

WORD_FIELDS: tuple[Place, ...] = ("author", "category", "topic", "publisher", "language")
PAGE = 1000
SCAN = 100
"""Filters read at a time when all are read: others have their turn on the event loop in between."""


def query_choices(query: Analysed) -> list[frozenset[Key]]:
    """Return sets of things, of each of which a matching article has at least one."""
    match query:
        case Phrase(terms, "text" | "title"):
            return [frozenset({term}) for term in terms]
        case Phrase(words, field):
            return [frozenset({word_key(field, word)}) for word in words]
        case Both(parts):
            return [choice for part in parts for choice in query_choices(part)]
        case Either(parts):
            each = [query_choices(part) for part in parts]
            if not all(each):
                return []
            return [frozenset().union(*(min(choices, key=_unspecific) for choices in each))]
        case _:
            return []


def _unspecific(choice: frozenset[Key]) -> tuple[int, int]:
    return len(choice), -max(map(len, choice), default=0)


def choices_of(filter_: Filter, language: str) -> list[frozenset[Key]]:
    """Return the sets of things of each of which an article in a language must have one; an empty list where there is none."""
    found = [frozenset(field_key(field, value) for value in filter_.wanted(field)) for field in FIELDS]
    found += [frozenset({field_key(f"metadata.{fold(name)}", fold(value))}) for name, value in filter_.metadata.items()]
    return [choice for choice in found if choice] + query_choices(filter_.analysed(language))


def field_key(field: str, value: str) -> Key:
    """Return the key of a field's value, which no term can equal: terms hold no such sign."""
    return f"{field}={value}"


def word_key(field: str, word: str) -> Key:
    """Return the key of a word in one of a field's values."""
    return f"{field}:{word}"


def keys_of(facts: Facts) -> set[Key]:
    """Return what an article has."""
    found = set(facts.positions)
    for field, values in facts.fields.items():
        found.update(field_key(field, value) for value in values)
    for field in WORD_FIELDS:
        found.update(word_key(field, word) for word in facts.places(field))
    found.update(field_key(f"metadata.{name}", value) for name, value in facts.metadata.items())
    return found


@dataclass(frozen=True, slots=True)
class Filed:
    """A distinct pair of a filter and what its subscribers are entitled to, with the kinds of versions they want."""

    filters: tuple[Filter, ...]
    events: frozenset[str]
    under: frozenset[Key]
    needs: tuple[frozenset[Key], ...]
    """What else an article must have, one of each: cheap to look at before the filter itself is asked."""

    def may_match(self, has: set[Key]) -> bool:
        """Tell whether an article that has these things can match."""
        return all(not choice.isdisjoint(has) for choice in self.needs)


class Shelves:
    """Distinct filters as they read in one language, filed so that few of them have to be verified."""

    def __init__(self, language: str) -> None:
        self._language = language
        self._filed: dict[str, Filed] = {}
        self._under: dict[Key, dict[str, Filed]] = {}
        self._anywhere: dict[str, Filed] = {}
        self._seen: Counter[Key] = Counter()
        self._articles = 0

    def add(self, digest: str, filters: tuple[Filter, ...], events: frozenset[str]) -> None:
        """File filters that must all match."""
        choices = [choice for filter_ in filters for choice in choices_of(filter_, self._language)]
        under = min(choices, key=self._cost) if choices else frozenset()
        needs = tuple(choice for choice in choices if choice is not under)
        filed = Filed(filters, events, under, needs)
        self._filed[digest] = filed
        for key in under:
            self._under.setdefault(key, {})[digest] = filed
        if not under:
            self._anywhere[digest] = filed

    def remove(self, digest: str) -> None:
        """Forget a filter."""
        filed = self._filed.pop(digest)
        self._anywhere.pop(digest, None)
        for key in filed.under:
            shelf = self._under[key]
            del shelf[digest]
            if not shelf:
                del self._under[key]

    def match(self, facts: Facts, kind: str) -> list[str]:
        """Return the digests of the filters that want an article of this language."""
        has = keys_of(facts)
        self._seen.update(has)
        self._age()
        candidates: dict[str, Filed] = dict(self._anywhere)
        for key in has:
            if shelf := self._under.get(key):
                candidates.update(shelf)
        return [
            digest
            for digest, filed in candidates.items()
            if kind in filed.events and filed.may_match(has) and all(each.matches(facts) for each in filed.filters)
        ]

    def _cost(self, choice: frozenset[Key]) -> tuple[float, int, int]:
        """How often filing under this brings a filter up for nothing: by what articles were like, and who is filed there."""
        frequency = sum(self._seen[key] for key in choice)
        crowd = sum(len(self._under.get(key, ())) for key in choice)
        return frequency, crowd, -min(map(len, choice))

    def _age(self) -> None:
        """Keep the statistics small, and young."""
        self._articles += 1
        if self._articles % 5000 == 0:
            self._seen = Counter({key: count // 2 for key, count in self._seen.items() if count > 1})


class Index:
    """Distinct filters, on shelves for each language that articles have come in so far."""

    def __init__(self) -> None:
        self._filters: dict[str, tuple[tuple[Filter, ...], frozenset[str]]] = {}
        self._languages: dict[str, Shelves] = {}

    def __len__(self) -> int:
        return len(self._filters)

    def add(self, digest: str, filter_: Filter, events: Iterable[str], entitlement: Filter | None = None) -> None:
        """File a filter, and what narrows it; one that is there already stays as it is."""
        if digest in self._filters:
            return
        kinds = frozenset(events)
        filters = (filter_,) if entitlement is None else (filter_, entitlement)
        self._filters[digest] = filters, kinds
        for shelves in self._languages.values():
            shelves.add(digest, filters, kinds)

    def remove(self, digest: str) -> None:
        """Forget a filter."""
        if self._filters.pop(digest, None) is not None:
            for shelves in self._languages.values():
                shelves.remove(digest)

    def match(self, article: ArticlePublished) -> list[str]:
        """Return the digests of the filters that want this version."""
        facts = Facts.of(article)
        return self._shelves(facts.language).match(facts, str(article.kind))

    def _shelves(self, language: str) -> Shelves:
        known = self._languages.get(language)
        if known is None:
            known = self._languages[language] = Shelves(language)
            for digest, (filters, events) in self._filters.items():
                known.add(digest, filters, events)
        return known


class Matcher:
    """An `Index` that follows the subscriptions in Redis. ``changes`` is the number of the last change that it knows of."""

    def __init__(self, redis: "Redis", keys: Keyspace) -> None:
        self.index = Index()
        self._redis = redis
        self._keys = keys
        self.changes = -1
        self._after = "0-0"

    def match(self, article: ArticlePublished) -> list[str]:
        """Return the digests of the filters that want this version."""
        return self.index.match(article)

    async def catch_up(self) -> None:
        """Learn of every filter that came or went; after this, whoever subscribed before is known."""
        if self.changes < 0:
            await self._rebuild()
        while True:
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.xread({self._changes: self._after}, count=PAGE)
                pipe.get(self._counter)
                answer, counter = await pipe.execute()
            entries = [entry for _, found in answer or () for entry in found]
            for entry_id, fields in entries:
                if int(fields[b"count"]) != self.changes + 1:  # some were trimmed, or the server was emptied
                    await self._rebuild()
                    break
                self._apply(fields)
                self.changes += 1
                self._after = entry_id.decode()
            else:
                if self.changes == int(counter or 0):
                    return
                if len(entries) < PAGE:
                    await self._rebuild()

    async def _rebuild(self) -> None:
        """Begin anew from the filters as they are; changes made meanwhile are applied once more, which changes nothing."""
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.xrevrange(self._changes, count=1)
            pipe.get(self._counter)
            newest, counter = await pipe.execute()
        index = Index()
        cursor = 0
        while True:
            cursor, found = await self._redis.hscan(self._keys.deliveries.key("filters"), cursor, count=SCAN)
            for digest, definition in found.items():
                index.add(digest.decode(), *_meaning(definition))
            if cursor == 0:
                break
        self.index = index
        self.changes = int(counter or 0)
        self._after = newest[0][0].decode() if newest else "0-0"

    def _apply(self, fields: dict[bytes, bytes]) -> None:
        digest = fields[b"digest"].decode()
        if fields[b"op"] == b"add":
            self.index.add(digest, *_meaning(fields[b"definition"]))
        else:
            self.index.remove(digest)

    @property
    def _changes(self) -> str:
        return self._keys.deliveries.key("subscriptions", "changes")

    @property
    def _counter(self) -> str:
        return self._keys.deliveries.key("subscriptions", "changed")


def _meaning(definition: bytes) -> tuple[Filter, list[str], Filter | None]:
    stored = orjson.loads(definition)
    narrowed = stored.get("entitlement")
    entitlement = None if narrowed is None else Filter.model_validate(narrowed)
    return Filter.model_validate(stored["filter"]), stored["events"], entitlement
