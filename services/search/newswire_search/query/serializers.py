"""Results as readers get them: members by name, highlights beside them."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from newswire.http.cost_limits import HIGHLIGHTED_CHARACTERS, NOT_ASCII_COST
from newswire.text.analysis import language_of
from newswire.text.highlights import highlight, opening
from newswire.text.query import Query
from newswire.text.query_matching import Analysed, analysed, beginnings, sought
from newswire_search.index.port import SearchPage

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

FRAGMENTS, FRAGMENT_CHARACTERS = 2, 180


def summary(article: Mapping[str, Any]) -> dict[str, Any]:
    """Return an article as lists show it."""
    return _members(article, MEMBERS)


def result(
    article: Mapping[str, Any], query: Query, extra: Sequence[str] = (), longest: int | None = None
) -> dict[str, Any]:
    """Return an article as a search result; passages are looked for in the first ``longest`` characters (None: in all)."""
    shown = summary(article)
    text = article.get("text", "")
    if longest is not None:
        text = text[: longest if text.isascii() else longest // NOT_ASCII_COST]
    shown["highlights"] = highlights({**article, "text": text}, query)
    return shown | _members(article, extra)


def full_article(article: Mapping[str, Any]) -> dict[str, Any]:
    """Return an article as its own page shows it."""
    return _members(article, WHOLE_MEMBERS)


def results(page: SearchPage, query: Query, extra: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Return the articles of a page as search results.

    Where their texts are very long together, passages are looked for in the same length of each.
    """
    cost = sum(_cost(article.get("text", "")) for article in page.articles)
    longest = HIGHLIGHTED_CHARACTERS // len(page.articles) if cost > HIGHLIGHTED_CHARACTERS else None
    return [result(article, query, extra, longest) for article in page.articles]


def _cost(text: str) -> int:
    return len(text) if text.isascii() else len(text) * NOT_ASCII_COST


def highlights(article: Mapping[str, Any], query: Query) -> dict[str, list[str]]:
    """Return escaped text in which only ``<mark>`` is markup: the full_article title, and the best passages of the body.

    Where no word stands in the body, the beginning of summary or body takes the place of a passage.
    """
    language = language_of(article.get("language", ""))
    asked = _asked(query, language)
    if asked is None:
        return {"title": [], "body": []}
    title, text = article["title"], article.get("text", "")
    passages = highlight(text, asked, fragments=FRAGMENTS, width=FRAGMENT_CHARACTERS, language=language)
    if not passages and (beginning := opening(article.get("summary") or text, FRAGMENT_CHARACTERS)):
        passages = [beginning]
    return {
        "title": highlight(title, asked, fragments=0, width=FRAGMENT_CHARACTERS, language=language, title=True),
        "body": passages,
    }


@lru_cache(maxsize=256)
def _asked(query: Query, language: str) -> Analysed | None:
    """Return what a query asks of texts in a language, the same for all results; None where no word speaks for one."""
    asked = analysed(query, language)
    return asked if sought(asked) or any(beginnings(asked)) else None


def _members(article: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: article.get(name, _EMPTY.get(name)) for name in names}
