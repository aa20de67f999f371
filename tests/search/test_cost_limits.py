"""The cost of a search is bounded before the work begins, and the error names the limit."""

from typing import Any

import pytest

from newswire.cost_limits import FILTER_VALUES, HIGHLIGHTED_CHARACTERS, PAGE_BYTES, QUERY_PREFIXES
from newswire.http.problems import ProblemError
from newswire.text import query as language
from newswire_search.feeds.api import _entries
from newswire_search.feeds.feed import MAX_SUMMARY_SOURCE_CHARACTERS, SUMMARY_CHARACTERS, feed_entry
from newswire_search.index.models import SearchPage
from newswire_search.query.api import check_page_size
from newswire_search.query.parameters import SearchParams, to_request
from newswire_search.query.serializers import results

ARTICLE: dict[str, Any] = {
    "id": "01jd0000000000000000000000",
    "url": "https://news.example/articles/01jd/x",
    "title": "Harbour",
    "publisher": "gazette",
    "language": "en",
    "published_at": "2026-03-01T09:00:00+00:00",
    "updated_at": "2026-03-01T09:00:00+00:00",
}


def refused(**params: Any) -> dict[str, Any]:
    with pytest.raises(ProblemError) as found:
        to_request(SearchParams.model_validate(params))
    assert found.value.status == 422
    (error,) = found.value.document()["errors"]
    return dict(error)


def test_prefixes_are_bounded() -> None:
    words = [f"harb{letter}*" for letter in "abcdefghijklmnop"]
    to_request(SearchParams(q=" ".join(words[:QUERY_PREFIXES])))
    error = refused(q=" OR ".join(words[: QUERY_PREFIXES + 1]))
    assert error["field"] == "q"
    assert str(QUERY_PREFIXES) in error["fix"]
    assert refused(q=" ".join(f"-{word}" for word in words))["field"] == "q"


def test_filter_values_are_bounded_over_all_fields() -> None:
    half = [f"t{n}" for n in range(FILTER_VALUES // 2)]
    to_request(SearchParams(topic=half, author=half))
    error = refused(topic=[*half, "one more"], author=half)
    assert error["field"] == "topic"
    assert str(FILTER_VALUES) in error["fix"]


def test_page_of_too_many_bodies_names_the_limit_that_fits() -> None:
    articles = [{**ARTICLE, "body": "x" * (PAGE_BYTES // 4)} for _ in range(6)]
    check_page_size(articles[:4], ["body"])
    with pytest.raises(ProblemError) as found:
        check_page_size(articles, ["body"])
    assert "limit=4" in found.value.errors[0].fix
    check_page_size([{**ARTICLE, "body": "x" * (2 * PAGE_BYTES)}], ["body"])  # one alone is always sent


def test_very_long_texts_are_highlighted_to_the_same_length() -> None:
    filler = "word " * (HIGHLIGHTED_CHARACTERS // 12)
    early, late = {**ARTICLE, "text": "harbour " + filler}, {**ARTICLE, "text": filler + "harbour"}
    query = language.parse("harbour")

    def passages(*articles: dict[str, Any]) -> list[str]:
        found = results(SearchPage(len(articles), articles, {}), query)
        return ["".join(each["highlights"]["body"]) for each in found]

    assert all("<mark>" in passage for passage in passages(early, late))
    *many, last = passages(*[early] * 9, late)
    assert all("<mark>" in passage for passage in many)
    assert last.startswith("word word")  # what stands far behind is not looked for; the beginning is shown


def test_the_summary_of_a_feed_is_cut_from_the_beginning() -> None:
    class Text(str):
        __slots__ = ()

        def split(self, *_: Any) -> list[str]:
            raise AssertionError("all of a long text is looked at")

    entry = feed_entry({**ARTICLE, "text": Text("word " * 200_000)}, full=False)
    assert entry.summary.startswith("word word")
    assert entry.summary.endswith(" …")
    assert len(entry.summary) <= SUMMARY_CHARACTERS < MAX_SUMMARY_SOURCE_CHARACTERS


def test_a_text_without_spaces_has_a_summary() -> None:
    entry = feed_entry({**ARTICLE, "text": "港" * 5000}, full=False)
    assert entry.summary == "港" * (SUMMARY_CHARACTERS - 2) + " …"


def test_feed_has_full_articles_up_to_a_size() -> None:
    body = "x" * (PAGE_BYTES // 3)
    entries = _entries([{**ARTICLE, "text": "word", "body": body}] * 5, full=True)
    assert [entry.body is not None for entry in entries] == [True, True, True, False, False]
    assert all(entry.summary == "word" for entry in entries)
