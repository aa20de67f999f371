"""The query language, on the table that search and subscriptions share."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newswire.analysis import article_terms, terms
from newswire.query import (
    Everything,
    Phrase,
    QueryTooLong,
    interpreted,
    matches,
    normal,
    occurrences,
    parse,
    positions,
    prefixes,
)
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


@given(st.text(max_size=200).filter(lambda text: not set(text) & set('"“”„‟«»＂')))
def test_a_text_is_found_by_itself_as_a_phrase(text: str) -> None:
    assert matches(parse(f'"{text}"'), positions(terms(text)))


@given(st.lists(st.sampled_from("abc")), st.lists(st.sampled_from("abc"), min_size=1, max_size=4))
def test_a_phrase_begins_where_its_terms_stand_together(found: list[str], phrase: list[str]) -> None:
    begins = {at for at in range(len(found)) if found[at : at + len(phrase)] == phrase}
    assert occurrences(phrase, positions(found)) == begins


def test_order_and_repetition_mean_nothing() -> None:
    assert normal(parse("storm ferry OR boat ferries -night")) == normal(
        parse("-nights boat OR ferry ferry storm ferries")
    )
    assert normal(parse("ferry OR ferries")) == normal(parse("ferry"))
    assert normal(parse('"night ferry"')) != normal(parse('"ferry night"'))


def test_words_cut_short_are_told_and_read_as_words() -> None:
    assert parse("ferry*") == parse("ferry")
    assert prefixes('fer* -boat* night "storm*" * ') == ["fer*", "-boat*"]
