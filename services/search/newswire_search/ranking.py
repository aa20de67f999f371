"""What both indexes share about the order by relevance, and about queries that are read in several languages."""

from collections.abc import Collection

from newswire.matching import Analysed, Phrase, analysed
from newswire.query import Query

TITLE_WEIGHT = 0.35
"""How much a match in the title adds to the score of the one field that holds all text. Heavier titles rank worse."""

INDEXED_IN: dict[str, str] = {"text": "text", "title": "title_terms"}
"""The index's fields for what is looked for in the whole text or in the title; those of other fields end in ``_words``."""


def index_field(phrase: Phrase) -> str:
    """Return the index's field in which a phrase is looked for."""
    return INDEXED_IN.get(phrase.place, f"{phrase.place}_words")


def readings(query: Query, languages: Collection[str]) -> list[tuple[Analysed, tuple[str, ...]]]:
    """Return the different ways in which a query reads in these languages, and for each the languages it holds for."""
    found: dict[Analysed, list[str]] = {}
    for language in sorted(languages):
        found.setdefault(analysed(query, language), []).append(language)
    return [(reading, tuple(same)) for reading, same in found.items()]
