"""The query language, on the table that search and subscriptions share."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newswire.analysis import article_terms
from newswire.query import Everything, Phrase, QueryTooLong, interpreted, matches, parse, positions
from tests.contract.table import QUERIES, articles

PLACES = {article.id: positions(article_terms(article)) for article in articles()}


@pytest.mark.parametrize(("q", "expected"), QUERIES)
def test_the_shared_table(q: str, expected: list[str]) -> None:
    query = parse(q)
    assert sorted(name for name, places in PLACES.items() if matches(query, places)) == expected


@given(st.text(max_size=200))
def test_nothing_typed_is_an_error(q: str) -> None:
    query = parse(q)
    matches(query, {})
    assert parse(interpreted(query)) == parse(interpreted(parse(interpreted(query))))


def test_a_query_is_bounded() -> None:
    with pytest.raises(QueryTooLong, match="1000 characters"):
        parse("x" * 1001)
    with pytest.raises(QueryTooLong, match="64"):
        parse("word " * 65)


def test_what_was_understood_is_told() -> None:
    assert interpreted(parse('ferries OR boats "night train" -storms')) == '(ferri OR boat) "night train" -storm'
    assert parse("the") == Phrase(("the",))
    assert parse("") == Everything()
