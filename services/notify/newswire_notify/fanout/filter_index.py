"""The index of filters in memory: which filters an article can match, by the features that each one needs."""

import asyncio
import gc
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

from newswire.events import ArticlePublished
from newswire.filters import ArticleFeatures, Filter
from newswire.text.analysis import language_of
from newswire.text.query_matching import Analysed, TextField, matches
from newswire_notify.fanout.filter_features import (
    FeatureKey,
    Pair,
    feature_keys,
    filter_conditions,
    place_of,
    specificity,
)

SCAN_COUNT = 100
"""Filters read at a time while all are loaded; the event loop runs other tasks in between."""


FREEZE_EVERY = 1000
"""Filters after which those loaded are excluded from garbage collection: a full collection of a million filters blocks the event
loop for seconds, and of 20,000 for a quarter of a second."""


@dataclass(slots=True)
class IndexedFilter:
    """A distinct filter with its entitlement and event kinds, indexed under one of its choices."""

    events: frozenset[str]
    forbidden: frozenset[FeatureKey]
    rest: tuple[Analysed, ...]
    places: frozenset[TextField]
    """Where its features are looked for."""
    pairs: tuple[Pair, ...]
    """The pairs among them."""
    reindexed_at: int
    """Number of articles after which its choice was last reviewed."""
    under: frozenset[FeatureKey] = frozenset()
    required: frozenset[FeatureKey] = frozenset()
    """The other choices of one feature."""
    choices: tuple[frozenset[FeatureKey], ...] = ()
    """The other choices of several features."""

    def matches(self, has: set[FeatureKey], features: ArticleFeatures) -> bool:
        """Return whether a candidate article with these features, all required ones among them, matches."""
        for choice in self.choices:
            if choice.isdisjoint(has):
                return False
        if self.forbidden and not self.forbidden.isdisjoint(has):
            return False
        return not self.rest or all(matches(part, features) for part in self.rest)

    def all_choices(self) -> tuple[frozenset[FeatureKey], ...]:
        """Return all choices, first the one that it is indexed under."""
        return (self.under, *(frozenset({key}) for key in self.required), *self.choices)

    def index_under(self, choice: frozenset[FeatureKey], choices: Iterable[frozenset[FeatureKey]]) -> None:
        """Index it under one of its choices."""
        others = [each for each in choices if each is not choice]
        self.under = choice
        self.required = frozenset(key for each in others if len(each) == 1 for key in each)
        self.choices = tuple(each for each in others if len(each) > 1)


class LanguageFilterIndex:
    """Distinct filters as analysed in one language, indexed so that few must be verified."""

    def __init__(self, language: str) -> None:
        self._language = language
        self._filters: dict[str, IndexedFilter] = {}
        self._under: dict[FeatureKey, dict[str, IndexedFilter]] = {}
        self._anywhere: dict[str, IndexedFilter] = {}
        self._seen: Counter[FeatureKey] = Counter()
        self._articles = 0
        self._places: Counter[TextField] = Counter()
        """How many filters look for features in each place: an article is analysed only where one does."""
        self._pairs: Counter[Pair] = Counter()
        """How many filters look for each pair of terms."""
        self._verified = 0
        """How many filters have conditions that are verified with the text."""

    @property
    def searches_text(self) -> bool:
        """Whether the text of an article may be analysed."""
        return self._verified > 0 or self._places["text"] > 0

    def add(self, digest: str, filters: Iterable[Filter], events: frozenset[str]) -> None:
        """Add filters that must all match."""
        conditions = filter_conditions(filters, self._language)
        forbidden = frozenset(conditions.forbidden)
        keys = set(chain(forbidden, *conditions.choices))
        places = frozenset(place for key in keys if (place := place_of(key)) is not None)
        pairs = tuple(key for key in keys if not isinstance(key, str))
        indexed = IndexedFilter(events, forbidden, tuple(conditions.rest), places, pairs, self._articles)
        indexed.index_under(self._rarest(conditions.choices), conditions.choices)
        self._places.update(places)
        self._pairs.update(pairs)
        self._verified += bool(indexed.rest)
        self._insert(digest, indexed)

    def remove(self, digest: str) -> None:
        """Remove a filter."""
        indexed = self._filters.pop(digest)
        self._places -= Counter(indexed.places)
        for pair in indexed.pairs:
            if self._pairs[pair] == 1:
                del self._pairs[pair]
            else:
                self._pairs[pair] -= 1
        self._verified -= bool(indexed.rest)
        self._unlink(digest, indexed)

    def match(self, features: ArticleFeatures, kind: str) -> list[str]:
        """Return the digests of the filters that match an article of this language."""
        has = feature_keys(features, self._places, self._pairs.keys())
        self._seen.update(has)
        self._age()
        candidates: dict[str, IndexedFilter] = dict(self._anywhere)
        for bucket in filter(None, map(self._under.get, has)):
            candidates.update(bucket)  # a filter may be indexed under several features
        found, misses = [], []
        for digest, indexed in candidates.items():
            if indexed.required <= has and indexed.matches(has, features):
                if kind in indexed.events:
                    found.append(digest)
            elif indexed.reindexed_at * 2 < self._articles and indexed.under:
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
        choices = indexed.all_choices()
        better = self._rarest(choices)
        if better is not indexed.under:
            self._unlink(digest, indexed)
            indexed.index_under(better, choices)
            self._insert(digest, indexed)

    def _rarest(self, choices: Iterable[frozenset[FeatureKey]]) -> frozenset[FeatureKey]:
        return min(choices, key=self._cost, default=frozenset())

    def _cost(self, choice: frozenset[FeatureKey]) -> tuple[float, int, int]:
        """Return how often this choice makes a filter a candidate: by the features of past articles, and by its other filters."""
        frequency, crowd = 0, 0
        for key in choice:
            frequency += self._seen.get(key, 0)  # a missing key of a Counter costs a call
            crowd += len(self._under.get(key, ()))
        return frequency, crowd, -min(map(specificity, choice))

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
        if not self._filters:
            return []  # analysing the text takes longer than all else that an event costs
        features = features or ArticleFeatures.of(article)
        return self._language_index(features.language).match(features, str(article.kind))

    def searches_text(self, article: ArticlePublished) -> bool:
        """Return whether `match` may analyse the text of an article."""
        return self._language_index(language_of(article.language)).searches_text

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
