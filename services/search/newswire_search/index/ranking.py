"""What both indexes share about the order by relevance, and about queries that are read in several languages.

The score is BM25 in one field that holds all text, plus a lighter one in the title, plus what words that stand together add. An
article whose very title is the query comes first. Where a search names no dates, news that is new counts for up to a tenth more.
"""

from collections.abc import Callable, Collection, Hashable
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

from newswire.text.analysis import joined_terms
from newswire.text.query import All, Any_, Published, Query, Words, leaves
from newswire.text.query_matching import Analysed, Both, Either, Phrase, Variants, Without, analysed
from newswire_search.index.mapping import DAY_MS
from newswire_search.index.port import SearchRequest, WordMatch

TITLE_WEIGHT = 0.2
"""How much a match in the title adds to the score of the one field that holds all text. Heavier titles rank worse."""
EXACT_TITLE = 1000.0
"""Added where the query is the title: more than any other score."""
PAIR_WEIGHT = 0.1
"""For two words that stand in the text as they stand in the query, one after the other."""
MAX_PAIRS = 3
PROXIMITY_WEIGHT = 0.4
"""For all words of a query near each other."""
MAX_PROXIMITY_WORDS = 6
"""Words that may be asked for near each other; longer queries are seldom found so, and dear to look for."""
PROXIMITY_SLOP = 10
"""By how many places, together, words may be off the place where the query has them."""

RECENCY_WEIGHT = 0.1
HALF_LIFE_DAYS = 30

INDEXED_IN: dict[str, str] = {"text": "text", "joined": "joined", "title": "title_terms"}
"""The index's fields for what is looked for in the whole text or in the title; those of other fields end in ``_words``."""

R = TypeVar("R", bound=Hashable)


@dataclass(frozen=True, slots=True)
class QueryPlan:
    """What a search means in a language: what must be found, and what else speaks for a result."""

    found: Analysed
    loose: tuple[Phrase, ...] = ()
    """The words that are worth more near each other, in their order."""
    title: str | None = None
    """The title that an article has whose title is the query, as the index holds it."""

    @property
    def pairs(self) -> list[Phrase]:
        """The first few words, each with the next."""
        return [Phrase(one.terms + other.terms) for one, other in pairwise(self.loose)][:MAX_PAIRS]

    @property
    def whole(self) -> Phrase | None:
        """All words together, where they are few enough."""
        if not 2 <= len(self.loose) <= MAX_PROXIMITY_WORDS:
            return None
        return Phrase(tuple(term for phrase in self.loose for term in phrase.terms))


def index_field(phrase: Phrase) -> str:
    """Return the index's field in which a phrase is looked for."""
    return INDEXED_IN.get(phrase.field, f"{phrase.field}_words")


def by_language(read: Callable[[str], R], languages: Collection[str]) -> list[tuple[R, tuple[str, ...]]]:
    """Return the different readings that these languages give, and for each the languages it holds for."""
    found: dict[R, list[str]] = {}
    for language in sorted(languages):
        found.setdefault(read(language), []).append(language)
    return [(reading, tuple(same)) for reading, same in found.items()]


def plan_query(request: SearchRequest, language: str) -> QueryPlan:
    """Return what a search asks of articles in a language."""
    whole = analysed(request.query, language)
    loose = _loose(request.query)
    telling = _clauses(analysed(All(tuple(loose)), language)) if loose else ()
    near = tuple(phrase for clause in telling if (phrase := _phrase(clause)))
    if request.word_match is WordMatch.PARTIAL:
        # What is in quotation marks, in a field or behind a minus holds for these as well.
        rest = [analysed(part, language) for part in _parts(request.query) if part not in loose]
        return QueryPlan(Both((Either(telling), *rest, Without(whole))), near)
    return QueryPlan(whole, near, _title(request.query, language))


def _phrase(clause: Analysed) -> Phrase | None:
    """Return a clause as terms in the text; of several spellings, the first."""
    if isinstance(clause, Variants):
        return next((part for part in clause.parts if isinstance(part, Phrase)), None)
    return clause if isinstance(clause, Phrase) else None


def can_match_partially(query: Query) -> bool:
    """Tell whether a query has loose words of which an article could have some."""
    return len(_loose(query)) > 1


def recency_counts(request: SearchRequest) -> bool:
    """Tell whether new articles are to count for more: not where dates are asked for."""
    undated = request.since is None and request.until is None
    return undated and not any(isinstance(leaf, Published) for leaf in leaves(request.query))


def recency(published_at: int, now: int) -> float:
    """Return what the score of an article is multiplied with. Both times in ms since 1970."""
    age = abs(now - published_at) / DAY_MS
    return 1 + RECENCY_WEIGHT * 0.5 ** (age / HALF_LIFE_DAYS)


def _parts(query: Query) -> tuple[Query, ...]:
    return query.parts if isinstance(query, All) else (query,)


def _loose(query: Query) -> list[Query]:
    """Return the clauses of which an article may have some: single words, and choices among such."""
    return [part for part in _parts(query) if _is_loose(part)]


def _is_loose(query: Query) -> bool:
    if isinstance(query, Any_):
        return all(map(_is_loose, query.parts))
    return isinstance(query, Words) and query.field is None and not query.quoted


def _title(query: Query, language: str) -> str | None:
    words = [part for part in _parts(query) if isinstance(part, Words) and part.field is None]
    if len(words) != len(_parts(query)):
        return None
    return " ".join(term for part in words for unit in part.units for term in joined_terms(unit, language))


def _clauses(query: Analysed) -> tuple[Analysed, ...]:
    return query.parts if isinstance(query, Both) else (query,)
