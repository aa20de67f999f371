"""Ranking by relevance, and queries in several languages, shared by both indexes.

The score is BM25 in one field with all text, plus a lower score for the title, plus a bonus for words that are close together. An
article whose title equals the query comes first. Unless a search filters by date, recent articles score up to a tenth more.
"""

from collections.abc import Callable, Collection, Hashable
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

from newswire.text.analysis import joined_terms
from newswire.text.query import All, Any_, Published, Query, Words, leaves
from newswire.text.query_matching import Analysed, Both, Either, Phrase, Variants, Without, analysed
from newswire_search.index.mapping import DAY_MS
from newswire_search.index.models import SearchRequest, WordMatch

TITLE_WEIGHT = 0.2
"""The weight of a match in the title, added to the score of the field with all text. Higher weights rank worse."""
EXACT_TITLE = 1000.0
"""Added if the query equals the title: more than any other score."""
PAIR_WEIGHT = 0.1
"""For two words that are adjacent in the text as in the query."""
MAX_PAIRS = 3
PROXIMITY_WEIGHT = 0.4
"""For all words of a query close together."""
MAX_PROXIMITY_WORDS = 6
"""Longer queries are not scored by proximity: they rarely match that way, and are expensive."""
PROXIMITY_SLOP = 10
"""Total number of positions by which the words may differ from their positions in the query."""

RECENCY_WEIGHT = 0.1
HALF_LIFE_DAYS = 30

INDEX_FIELDS: dict[str, str] = {"text": "text", "joined": "joined", "title": "title_terms"}
"""The index fields for phrases in the whole text or the title; those of other fields end in ``_words``."""

R = TypeVar("R", bound=Hashable)


@dataclass(frozen=True, slots=True)
class QueryPlan:
    """A search in one language: what must match, and what only adds to the score."""

    required: Analysed
    words: tuple[Phrase, ...] = ()
    """The words that score more if they are close together, in order."""
    exact_title: str | None = None
    """The indexed title of an article whose title equals the query."""
    never_all: bool = False
    """Whether no result has all of the words."""

    @property
    def pairs(self) -> list[Phrase]:
        """The first few words, each paired with the next."""
        if self.never_all and len(self.words) == 2:
            return []  # an article with the pair has all of the words
        return [Phrase(one.terms + other.terms) for one, other in pairwise(self.words)][:MAX_PAIRS]

    @property
    def all_words(self) -> Phrase | None:
        """All words as one phrase, if they are few enough, and an article with all of them is wanted."""
        if self.never_all or not 2 <= len(self.words) <= MAX_PROXIMITY_WORDS:
            return None
        return Phrase(tuple(term for phrase in self.words for term in phrase.terms))


def index_field(phrase: Phrase) -> str:
    """Return the index field in which a phrase is searched."""
    return INDEX_FIELDS.get(phrase.field, f"{phrase.field}_words")


def group_by_language(analyse: Callable[[str], R], languages: Collection[str]) -> list[tuple[R, tuple[str, ...]]]:
    """Return the different results of an analysis in these languages, each with its languages."""
    found: dict[R, list[str]] = {}
    for language in sorted(languages):
        found.setdefault(analyse(language), []).append(language)
    return [(result, tuple(same)) for result, same in found.items()]


def plan_query(request: SearchRequest, language: str) -> QueryPlan:
    """Return the plan of a search for articles in a language."""
    whole = analysed(request.query, language)
    optional = _optional_parts(request.query)
    clauses = _clauses(analysed(All(tuple(optional)), language)) if optional else ()
    words = tuple(phrase for clause in clauses if (phrase := _phrase(clause)))
    if request.word_match is WordMatch.PARTIAL:
        # Phrases, fields and exclusions must match for partial matches too.
        rest = [analysed(part, language) for part in _parts(request.query) if part not in optional]
        never_all = len(words) == len(clauses)
        return QueryPlan(Both((Either(clauses), *rest, Without(whole))), words, never_all=never_all)
    if request.word_match is WordMatch.ANY:
        rest = [analysed(part, language) for part in _parts(request.query) if part not in optional]
        return QueryPlan(Both((Either(clauses), *rest)), words, _exact_title(request.query, language))
    return QueryPlan(whole, words, _exact_title(request.query, language))


def _phrase(clause: Analysed) -> Phrase | None:
    """Return a clause as a phrase; the first of several spellings."""
    if isinstance(clause, Variants):
        return next((part for part in clause.parts if isinstance(part, Phrase)), None)
    return clause if isinstance(clause, Phrase) else None


def can_match_partially(query: Query) -> bool:
    """Return whether a query has several words of which an article may contain some."""
    return len(_optional_parts(query)) > 1


def any_includes_all(query: Query, language: str) -> bool:
    """Return whether `WordMatch.ANY` finds all and partial matches of articles in a language, with the scores they have alone.

    Not if a stop word counts for partial matches only, or if words may be adjacent in the text of an article that lacks one.
    """
    optional = _optional_parts(query)
    clauses = _clauses(analysed(All(tuple(optional)), language))
    rest = (analysed(part, language) for part in _parts(query) if part not in optional)
    if {*clauses, *rest} != set(_clauses(analysed(query, language))):
        return False
    return all(phrase.field == "text" for clause in clauses if (phrase := _phrase(clause)))


def recency_counts(query: Query, since_ms: int | None, until_ms: int | None) -> bool:
    """Return whether recent articles score more: not if the search filters by date."""
    return since_ms is None and until_ms is None and not any(isinstance(leaf, Published) for leaf in leaves(query))


def recency(published_at_ms: int, now_ms: int) -> float:
    """Return the factor for the score of an article of a given age. Both times are in ms since 1970."""
    age = abs(now_ms - published_at_ms) / DAY_MS
    return 1 + RECENCY_WEIGHT * 0.5 ** (age / HALF_LIFE_DAYS)


def _parts(query: Query) -> tuple[Query, ...]:
    return query.parts if isinstance(query, All) else (query,)


def _optional_parts(query: Query) -> list[Query]:
    """Return the parts of which a partial match needs only some: single words, and alternatives of them."""
    return [part for part in _parts(query) if _is_optional(part)]


def _is_optional(query: Query) -> bool:
    if isinstance(query, Any_):
        return all(map(_is_optional, query.parts))
    return isinstance(query, Words) and query.field is None and not query.quoted


def _exact_title(query: Query, language: str) -> str | None:
    words = [part for part in _parts(query) if isinstance(part, Words) and part.field is None]
    if len(words) != len(_parts(query)):
        return None
    return " ".join(term for part in words for unit in part.units for term in joined_terms(unit, language))


def _clauses(query: Analysed) -> tuple[Analysed, ...]:
    return query.parts if isinstance(query, Both) else (query,)
