"""Filters and the articles that they match."""

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError
from starlette.datastructures import QueryParams

from newswire.events import ArticleRetracted
from newswire.filter_input import FilterInput
from newswire.filters import ArticleFeatures, Filter
from newswire.http.filter_params import filter_from_params
from newswire.http.problems import ProblemError
from tests.contract.table import IN_LANGUAGES, SAVED_QUERIES, articles, articles_in_languages

FERRY = next(article for article in articles() if article.id == "ferry").model_copy(
    update={"metadata": {"desk": "Coast"}, "language": "en"}
)
TOMBSTONE = ArticleRetracted.model_validate(
    {
        "id": "ferry",
        "version": 1,
        "publisher": "The Harbour Post",
        "category": "Transport",
        "topics": ["Ferries"],
        "retracted_at": "2026-03-02T00:00:00Z",
    }
)
INPUT: TypeAdapter[Filter] = TypeAdapter(FilterInput)


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({}, True),
        ({"publishers": ["the harbour  post"]}, True),
        ({"publishers": ["Another"]}, False),
        ({"categories": ["TRANSPORT", "Sport"]}, True),
        ({"categories": ["-transport"]}, False),
        ({"categories": ["-sport"]}, True),
        ({"topics": ["férries"]}, True),
        ({"topics": ["ferries", "-winter timetable"]}, False),
        ({"authors": ["ada lindqvist"], "languages": ["EN"]}, True),
        ({"authors": ["ada"]}, False),
        ({"languages": ["de"]}, False),
        ({"metadata": {"desk": "coast"}}, True),
        ({"metadata": {"desk": "city"}}, False),
        ({"metadata": {"other": "coast"}}, False),
        ({"query": '"night ferry" -storm'}, True),
        ({"query": "storm", "categories": ["transport"]}, False),
    ],
)
def test_a_published_article(members: dict[str, Any], expected: bool) -> None:
    assert Filter.model_validate(members).matches(ArticleFeatures.of(FERRY)) is expected


def test_the_shared_table_of_queries() -> None:
    for read, table in ((articles(), SAVED_QUERIES), (articles_in_languages(), IN_LANGUAGES)):
        features = {article.id: ArticleFeatures.of(article) for article in read}
        for q, expected in table:
            wanted = Filter(query=q)
            assert sorted(name for name, found in features.items() if wanted.matches(found)) == expected, q


def test_a_retraction_is_tested_without_its_text() -> None:
    features = ArticleFeatures.of(TOMBSTONE)
    assert Filter(query="ferry", categories=["transport"]).matches(features, text=False)
    assert not Filter(query="ferry", categories=["sport"]).matches(features, text=False)
    assert not Filter(query="ferry").matches(features)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"topics": ["Ferries", "Boats"]}, {"topics": ["boats", "FERRIES", "ferries"]}),
        ({"query": "night  Ferry"}, {"query": "FERRY night"}),
        ({}, {"query": "  ", "topics": []}),
        ({"metadata": {"Desk": "Coast"}}, {"metadata": {"desk": "coast"}}),
        ({"query": "night ferry"}, {"query": "ferry night night"}),
        ({"topics": ["-ferries"]}, {"topics": ["－ Ferries"]}),
    ],
)
def test_filters_that_mean_the_same_are_the_same(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert Filter.model_validate(one).digest() == Filter.model_validate(other).digest()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"topics": ["ferries"]}, {"topics": ["-ferries"]}),
        ({"topics": ["ferries"]}, {"categories": ["ferries"]}),
        ({"query": "night ferry"}, {"query": '"night ferry"'}),
        ({"query": "night OR ferry"}, {"query": "night ferry"}),
        ({"metadata": {"desk": "coast"}}, {}),
    ],
)
def test_filters_that_mean_something_else_are_not(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert Filter.model_validate(one).digest() != Filter.model_validate(other).digest()


def test_equal_filters_stay_equal_after_use() -> None:
    used, fresh = Filter(topics=["Ferries"], query="night"), Filter(topics=["Ferries"], query="night")
    used.matches(ArticleFeatures.of(FERRY))
    assert used == fresh
    assert used.model_dump() == fresh.model_dump()


def test_without_text_only_the_query_is_ignored() -> None:
    assert Filter(query="nothinglikethis", metadata={"desk": "coast"}).matches(ArticleFeatures.of(FERRY), text=False)
    assert not Filter(metadata={"desk": "city"}).matches(ArticleFeatures.of(FERRY), text=False)
    assert Filter(metadata={"desk": "city"}).matches(ArticleFeatures.of(TOMBSTONE), text=False)


@pytest.mark.parametrize(
    "members",
    [
        {"topic": ["x"]},
        {"topics": "x"},
        {"topics": [""]},
        {"topics": ["-"]},
        {"query": "x" * 1001},
        {"query": "a " * 65},
        {"query": "ferry boat*"},
        {"query": "ferry -(storm published:2026)"},
        {"query": "???"},
        {"query": "…"},
        {"query": '"?"'},
        {"query": "()"},
        {"query": "title:!"},
        {"query": "NOT"},
        {"query": "-"},
        {"metadata": {"desk": "coast", "Desk": "city"}},
    ],
)
def test_invalid_filters_are_rejected(members: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Filter.model_validate(members)


@pytest.mark.parametrize("languages", [["de", "-EN"], ["zh-Hant", "und"], ["de-x-harbour"], ["ｄｅ"], []])
def test_a_sent_filter_may_name_languages_that_articles_can_have(languages: list[str]) -> None:
    assert INPUT.validate_python({"languages": languages}) == Filter(languages=languages)


@pytest.mark.parametrize("language", ["english", "-Deutsch", "en_GB", "eng", "xx", "de-", "*", "en,de"])
def test_a_sent_filter_names_only_language_tags_but_a_stored_one_is_kept(language: str) -> None:
    with pytest.raises(ValidationError) as refused:
        INPUT.validate_python({"languages": ["fr", language]})
    [error] = refused.value.errors()
    assert error["loc"] == ("languages", 1)
    assert "BCP 47" in error["ctx"]["fix"]
    assert Filter(languages=[language]).languages == [language]


def test_the_parameters_of_a_live_stream() -> None:
    params = QueryParams("topic=Ferries&topic=-Boats&q=night&since=1")
    assert filter_from_params(params, ["since"]) == Filter(topics=["Ferries", "-Boats"], query="night")


@pytest.mark.parametrize(
    ("params", "named"),
    [
        ("tpoic=x", "tpoic"),
        ("q=a&q=b", "q"),
        ("topic=", "topic"),
        ("category=-", "category"),
        ("q=" + "x" * 1001, "q"),
        ("language=english", "language"),
    ],
)
def test_invalid_parameters_are_named(params: str, named: str) -> None:
    with pytest.raises(ProblemError) as refused:
        filter_from_params(QueryParams(params))
    assert refused.value.status == 422
    assert [error.field for error in refused.value.errors] == [named]
