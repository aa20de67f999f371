"""Serializes articles for readers: the public members, and highlights."""

from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Any

from newswire.cost_limits import HIGHLIGHTED_CHARACTERS, NOT_ASCII_COST
from newswire.text.analysis import language_of
from newswire.text.highlights import highlight, opening
from newswire.text.query import Query
from newswire.text.query_matching import Analysed, analysed, beginnings, positive_phrases
from newswire_search.index.models import SearchPage

MEMBERS = (
    "id",
    "version",
    "title",
    "summary",
    "authors",
    "category",
    "topics",
    "language",
    "publisher",
    "image",
    "published_at",
    "updated_at",
    "canonical_url",
    "correction_note",
    "url",
)
WHOLE_MEMBERS = (*MEMBERS, "body", "word_count", "urgency", "metadata")
_EMPTY: dict[str, Any] = {"authors": [], "topics": [], "metadata": {}, "language": "und", "word_count": 0}

MAX_FRAGMENTS, FRAGMENT_CHARACTERS = 2, 180


def summary(article: Mapping[str, Any]) -> dict[str, Any]:
    """Return the members of an article that lists contain."""
    return _members(article, MEMBERS)


def result(
    article: Mapping[str, Any],
    query: "Query | QueryInLanguages",
    extra: tuple[str, ...] = (),
    max_characters: int | None = None,
) -> dict[str, Any]:
    """Return an article as a search result; only the first ``max_characters`` are highlighted (None: all)."""
    serialized = summary(article)
    text = article.get("text", "")
    if max_characters is not None:
        text = text[: max_characters if text.isascii() else max_characters // NOT_ASCII_COST]
    serialized["highlights"] = highlights(article, text, query)
    return serialized | _members(article, extra) if extra else serialized


def full_article(article: Mapping[str, Any]) -> dict[str, Any]:
    """Return an article with its body."""
    return _members(article, WHOLE_MEMBERS)


def results(page: SearchPage, query: Query, extra: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """Return the articles of a page as search results.

    If their texts are very long in total, only the beginning of each is highlighted, of the same length.
    """
    cost = sum(_cost(article.get("text", "")) for article in page.articles)
    max_characters = HIGHLIGHTED_CHARACTERS // len(page.articles) if cost > HIGHLIGHTED_CHARACTERS else None
    in_languages = QueryInLanguages(query)
    return [result(article, in_languages, extra, max_characters) for article in page.articles]


def _cost(text: str) -> int:
    return len(text) if text.isascii() else len(text) * NOT_ASCII_COST


class QueryInLanguages(dict[str, Analysed | None]):
    """A query analysed in the languages of a page of results, each once; None for one without words to highlight."""

    def __init__(self, query: Query) -> None:
        """Analyse nothing yet."""
        super().__init__()
        self._query = query

    def __missing__(self, language: str) -> Analysed | None:
        found = self[language] = _analysed(self._query, language)
        return found


def highlights(article: Mapping[str, Any], text: str, query: Query | QueryInLanguages) -> dict[str, list[str]]:
    """Return escaped text in which ``<mark>`` is the only markup: the full title, and the best passages of the body.

    If the body contains none of the words, the beginning of the summary or the body replaces a passage.
    """
    language = language_of(article.get("language", ""))
    analysed_query = query[language] if isinstance(query, QueryInLanguages) else _analysed(query, language)
    if analysed_query is None:
        return {"title": [], "body": []}
    title = article["title"]
    passages = highlight(text, analysed_query, fragments=MAX_FRAGMENTS, width=FRAGMENT_CHARACTERS, language=language)
    if not passages and (beginning := opening(article.get("summary") or text, FRAGMENT_CHARACTERS)):
        passages = [beginning]
    return {
        "title": highlight(
            title, analysed_query, fragments=0, width=FRAGMENT_CHARACTERS, language=language, title=True
        ),
        "body": passages,
    }


@lru_cache(maxsize=256)
def _analysed(query: Query, language: str) -> Analysed | None:
    """Return a query analysed in a language, cached for all results; None if it has no word to highlight."""
    found = analysed(query, language)
    return found if positive_phrases(found) or any(beginnings(found)) else None


def _members(article: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return dict(zip(names, map(article.get, names, _defaults(names)), strict=True))


@cache
def _defaults(names: tuple[str, ...]) -> tuple[Any, ...]:
    return tuple(map(_EMPTY.get, names))
