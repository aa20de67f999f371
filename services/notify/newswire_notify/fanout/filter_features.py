"""The features of articles, by which filters are indexed: terms and pairs of terms of the text, words and values of fields."""

from collections.abc import Container, Iterable, KeysView, Sequence
from dataclasses import dataclass, field
from itertools import islice, pairwise, repeat
from typing import Literal, TypeAlias

from newswire.filters import FIELDS, ArticleFeatures, Filter
from newswire.text.folding import fold
from newswire.text.query import Everything, Nothing
from newswire.text.query_matching import Analysed, Both, Either, Phrase, TextField, Without

PairPlace: TypeAlias = Literal["text", "joined"]
Pair: TypeAlias = tuple[PairPlace, str, str]
"""Two consecutive terms of the text, or of its joined words, and which of both."""


FeatureKey: TypeAlias = str | Pair
"""A feature of an article: a term, a pair of terms, or a field with a folded value (`field_key`)."""


NO_PAIRS: KeysView[Pair] = dict[Pair, int]().keys()


NO_FEATURE: frozenset[FeatureKey] = frozenset({"nothing:="})
"""A choice that no article has: terms never contain this character."""


WORD_FIELDS: tuple[TextField, ...] = ("author", "category", "topic", "publisher", "language")


ALL_PLACES: frozenset[TextField] = frozenset({"text", *WORD_FIELDS})
"""Where terms are looked for."""


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
        case Phrase((first, second), "text" | "joined" as place):
            return place, first, second
        case Phrase((word,), place) if place not in ("title", "joined"):
            return word_key(place, word)
        case _:
            return None


def _choices(query: Analysed) -> list[frozenset[FeatureKey]]:
    """Return sets of features; a matching article has at least one of each."""
    match query:
        case Phrase((_, _, *_) as terms, "text" | "joined" as place):
            return [frozenset({(place, first, second)}) for first, second in pairwise(terms)]
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
    return len(choice), -max(map(specificity, choice), default=0)


def specificity(key: FeatureKey) -> int:
    """Return how specific a feature is, by its length: long words are rare, and pairs of words are rarer."""
    return len(key) if isinstance(key, str) else len(key[1]) + len(key[2])


def field_key(field: str, value: str) -> FeatureKey:
    """Return the key of a field value. It differs from every term: terms never contain this character."""
    return f"{field}={value}"


def word_key(field: str, word: str) -> FeatureKey:
    """Return the key of a word in one of a field's values."""
    return f"{field}:{word}"


def feature_keys(
    features: ArticleFeatures, places: Container[TextField] = ALL_PLACES, pairs: KeysView[Pair] = NO_PAIRS
) -> set[FeatureKey]:
    """Return the features of an article: the values of its fields, the terms of ``places``, and those pairs that are in ``pairs``.

    Terms take a hundred times longer than values, because the whole text is analysed.
    """
    found: set[FeatureKey] = {field_key(name, value) for name, values in features.fields.items() for value in values}
    found.update(field_key(f"metadata.{name}", value) for name, value in features.metadata.items())
    if "text" in places:
        found.update(features.terms)
    for place in WORD_FIELDS:
        if place in places:
            found.update(word_key(place, word) for word in features.positions_in(place))
    if pairs:
        found |= _pairs_of("text", features.terms, pairs)
        found |= _pairs_of("joined", features.joined_terms, pairs)
    return found


def _pairs_of(place: PairPlace, terms: Sequence[str], pairs: KeysView[Pair]) -> set[Pair]:
    """Return those of some pairs that a text contains. An article has as many pairs as words, so all others are left out here."""
    found: set[Pair] = pairs & zip(repeat(place), terms, islice(terms, 1, None))
    return found


def place_of(key: FeatureKey) -> TextField | None:
    """Return where a feature is looked for: in the text, or among the words of a field; None for the value of a field."""
    if not isinstance(key, str):
        return "text"
    if "=" in key:
        return None
    for place in WORD_FIELDS:
        if key.startswith(f"{place}:"):
            return place
    return "text"
