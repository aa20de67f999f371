"""The index of filters in memory: which filters an article can match, by the features that each one needs."""

import asyncio
import gc
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from newswire.events import ArticlePublished
from newswire.filters import FIELDS, ArticleFeatures, Filter
from newswire.text.folding import fold
from newswire.text.query import Everything, Nothing
from newswire.text.query_matching import Analysed, Both, Either, Phrase, TextField, Without, matches, number_pairs

FeatureKey: TypeAlias = str
"""A feature of an article: a term, or a field with a folded value (`field_key`)."""


NO_FEATURE: frozenset[FeatureKey] = frozenset({"nothing:="})
"""A choice that no article has: terms never contain this character."""


WORD_FIELDS: tuple[TextField, ...] = ("author", "category", "topic", "publisher", "language")


SCAN_COUNT = 100
"""Filters read at a time while all are loaded; the event loop runs other tasks in between."""


FREEZE_EVERY = 1000
"""Filters after which those loaded are excluded from garbage collection: a full collection of a million filters blocks the event
loop for seconds, and of 20,000 for a quarter of a second."""


@dataclass(slots=True)
class FilterConditions:
    """The conditions of a filter, by the cost of checking them."""

    choices: list[frozenset[FeatureKey]] = field(default_factory=list)
    """An article must have one feature of each."""
    forbidden: set[FeatureKey] = field(default_factory=set)
    """It must have none of these."""
    rest: list[Analysed] = field(default_factory=list)
    """Conditions that need the text: phrases, mostly."""


def filter_conditions(filters: Iterable[Filter], language: str) -> FilterConditions:
    """Return the conditions of filters that articles in a language must all match."""
    found = FilterConditions()
    for filter_ in filters:
        for name in FIELDS:
            if wanted := filter_.wanted(name):
                found.choices.append(frozenset(field_key(name, value) for value in wanted))
            found.forbidden.update(field_key(name, value) for value in filter_.unwanted(name))
        for name, value in filter_.metadata.items():
            found.choices.append(frozenset({field_key(f"metadata.{fold(name)}", fold(value))}))
        _add_query(filter_.analysed(language), found)
    return found


def _add_query(query: Analysed, found: FilterConditions) -> None:
    """Add the conditions of a query."""
    match query:
        case Both(parts):
            for part in parts:
                _add_query(part, found)
        case Phrase():
            found.choices += _choices(query)
            if _single(query) is None:
                found.rest.append(query)
        case Either(parts):
            found.choices += _choices(query)
            if not all(map(_single, parts)):
                found.rest.append(query)
        case Without(part):
            without = [_single(each) for each in (part.parts if isinstance(part, Either) else (part,))]
            if all(without):
                found.forbidden.update(key for key in without if key)
            else:
                found.rest.append(query)
        case Everything():
            return
        case Nothing():
            found.choices.append(NO_FEATURE)
        case _:
            found.rest.append(query)


def _single(query: Analysed) -> FeatureKey | None:
    """Return the single feature that is necessary and sufficient for a match, or None."""
    match query:
        case Phrase((term,), "text"):
            return term
        case Phrase((word,), place) if place not in ("title", "joined"):
            return word_key(place, word)
        case _:
            return None


def _choices(query: Analysed) -> list[frozenset[FeatureKey]]:
    """Return sets of features; a matching article has at least one of each."""
    match query:
        case Phrase((first, second), "text") if first.isdigit() or second.isdigit():
            return [frozenset({f"{first} {second}"})]
        case Phrase(terms, "text" | "joined" | "title"):
            return [frozenset({term}) for term in terms]
        case Phrase(words, place):
            return [frozenset({word_key(place, word)}) for word in words]
        case Both(parts):
            return [choice for part in parts for choice in _choices(part)]
        case Either(parts):
            each = [_choices(part) for part in parts]
            if not all(each):
                return []
            return [frozenset().union(*(min(choices, key=_unspecific) for choices in each))]
        case _:
            return []


def _unspecific(choice: frozenset[FeatureKey]) -> tuple[int, int]:
    return len(choice), -max(map(len, choice), default=0)


def field_key(field: str, value: str) -> FeatureKey:
    """Return the key of a field value. It differs from every term: terms never contain this character."""
    return f"{field}={value}"


def word_key(field: str, word: str) -> FeatureKey:
    """Return the key of a word in one of a field's values."""
    return f"{field}:{word}"


def feature_keys(features: ArticleFeatures) -> set[FeatureKey]:
    """Return the features of an article."""
    found = set(features.positions)
    found.update(number_pairs(features.positions))
    for name, values in features.fields.items():
        found.update(field_key(name, value) for value in values)
    for place in WORD_FIELDS:
        found.update(word_key(place, word) for word in features.positions_in(place))
    found.update(field_key(f"metadata.{name}", value) for name, value in features.metadata.items())
    return found


@dataclass(slots=True)
class IndexedFilter:
    """A distinct filter with its entitlement and event kinds, indexed under one of its choices."""

    events: frozenset[str]
    under: frozenset[FeatureKey]
    choices: tuple[frozenset[FeatureKey], ...]
    """The other choices."""
    forbidden: frozenset[FeatureKey]
    rest: tuple[Analysed, ...]
    reindexed_at: int
    """Number of articles after which its choice was last reviewed."""

    def matches(self, has: set[FeatureKey], features: ArticleFeatures) -> bool:
        """Return whether a candidate article with these features matches."""
        for choice in self.choices:
            if choice.isdisjoint(has):
                return False
        if self.forbidden and not self.forbidden.isdisjoint(has):
            return False
        return not self.rest or all(matches(part, features) for part in self.rest)


class LanguageFilterIndex:
    """Distinct filters as analysed in one language, indexed so that few must be verified."""

    def __init__(self, language: str) -> None:
        self._language = language
        self._filters: dict[str, IndexedFilter] = {}
        self._under: dict[FeatureKey, dict[str, IndexedFilter]] = {}
        self._anywhere: dict[str, IndexedFilter] = {}
        self._seen: Counter[FeatureKey] = Counter()
        self._articles = 0

    def add(self, digest: str, filters: Iterable[Filter], events: frozenset[str]) -> None:
        """Add filters that must all match."""
        conditions = filter_conditions(filters, self._language)
        under = self._rarest(conditions.choices)
        others = tuple(choice for choice in conditions.choices if choice is not under)
        self._insert(
            digest,
            IndexedFilter(
                events, under, others, frozenset(conditions.forbidden), tuple(conditions.rest), self._articles
            ),
        )

    def remove(self, digest: str) -> None:
        """Remove a filter."""
        self._unlink(digest, self._filters.pop(digest))

    def match(self, features: ArticleFeatures, kind: str) -> list[str]:
        """Return the digests of the filters that match an article of this language."""
        has = feature_keys(features)
        self._seen.update(has)
        self._age()
        candidates: dict[str, IndexedFilter] = dict(self._anywhere)
        for bucket in map(self._under.get, has):
            if bucket:
                candidates.update(bucket)
        found, misses = [], []
        for digest, indexed in candidates.items():
            if indexed.matches(has, features):
                if kind in indexed.events:
                    found.append(digest)
            elif indexed.under and indexed.reindexed_at * 2 < self._articles:
                misses.append((digest, indexed))
        for digest, indexed in misses:
            self._reindex(digest, indexed)
        return found

    def _insert(self, digest: str, indexed: IndexedFilter) -> None:
        self._filters[digest] = indexed
        for key in indexed.under:
            self._under.setdefault(key, {})[digest] = indexed
        if not indexed.under:
            self._anywhere[digest] = indexed

    def _unlink(self, digest: str, indexed: IndexedFilter) -> None:
        self._anywhere.pop(digest, None)
        for key in indexed.under:
            bucket = self._under[key]
            del bucket[digest]
            if not bucket:
                del self._under[key]

    def _reindex(self, digest: str, indexed: IndexedFilter) -> None:
        """Move a filter that was a candidate without a match to its rarest choice, by the articles seen since."""
        indexed.reindexed_at = self._articles
        choices = (indexed.under, *indexed.choices)
        better = self._rarest(choices)
        if better is not indexed.under:
            self._unlink(digest, indexed)
            indexed.under, indexed.choices = better, tuple(choice for choice in choices if choice is not better)
            self._insert(digest, indexed)

    def _rarest(self, choices: Iterable[frozenset[FeatureKey]]) -> frozenset[FeatureKey]:
        return min(choices, key=self._cost, default=frozenset())

    def _cost(self, choice: frozenset[FeatureKey]) -> tuple[float, int, int]:
        """Return how often this choice makes a filter a candidate: by the features of past articles, and by its other filters."""
        frequency = sum(self._seen[key] for key in choice)
        crowd = sum(len(self._under.get(key, ())) for key in choice)
        return frequency, crowd, -min(map(len, choice))

    def _age(self) -> None:
        """Halve the statistics from time to time, so that they stay small and recent."""
        self._articles += 1
        if self._articles % 5000 == 0:
            self._seen = Counter({key: count // 2 for key, count in self._seen.items() if count > 1})


class FilterIndex:
    """Distinct filters, with a `LanguageFilterIndex` for each language of past articles."""

    def __init__(self) -> None:
        self._filters: dict[str, tuple[tuple[Filter, ...], frozenset[str]]] = {}
        self._languages: dict[str, LanguageFilterIndex] = {}

    def __len__(self) -> int:
        return len(self._filters)

    def add(self, digest: str, filter_: Filter, events: Iterable[str], entitlement: Filter | None = None) -> None:
        """Add a filter with its entitlement; a known digest is left unchanged."""
        if digest in self._filters:
            return
        kinds = frozenset(events)
        filters = (filter_,) if entitlement is None else (filter_, entitlement)
        self._filters[digest] = filters, kinds
        for language_index in self._languages.values():
            language_index.add(digest, filters, kinds)

    def remove(self, digest: str) -> None:
        """Remove a filter."""
        if self._filters.pop(digest, None) is not None:
            for language_index in self._languages.values():
                language_index.remove(digest)

    def match(self, article: ArticlePublished, features: ArticleFeatures | None = None) -> list[str]:
        """Return the digests of the filters that match this version; ``features`` are those of the version, if known."""
        features = features or ArticleFeatures.of(article)
        return self._language_index(features.language).match(features, str(article.kind))

    @property
    def languages(self) -> list[str]:
        """The languages that have an index."""
        return list(self._languages)

    async def prepare(self, language: str) -> None:
        """Index all filters for a language; other tasks run in between."""
        for _ in self._built(language):
            await asyncio.sleep(0)

    def _language_index(self, language: str) -> LanguageFilterIndex:
        for _ in self._built(language):
            pass
        return self._languages[language]

    def _built(self, language: str) -> Iterator[None]:
        """Build the index of a language where it is missing; yield after every `SCAN_COUNT` filters."""
        if language in self._languages:
            return
        language_index = LanguageFilterIndex(language)
        for number, (digest, (filters, events)) in enumerate(list(self._filters.items()), start=1):
            language_index.add(digest, filters, events)
            if number % FREEZE_EVERY == 0:
                gc.freeze()
            if number % SCAN_COUNT == 0:
                yield
        self._languages[language] = language_index
