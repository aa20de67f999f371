"""Each spelling of a word finds the others, and nothing else."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newswire.filters import ArticleFeatures, Filter
from newswire.text.analysis import (
    SEPARATOR,
    analysed_article,
    article_joined_terms,
    article_terms,
    title_terms,
    whole_title,
    words,
)
from newswire.text.compounds import MAX_RUN, prepared, units
from newswire.text.highlights import highlight
from newswire.text.query import parse
from newswire.text.query_matching import analysed, matches
from tests.contract.spellings import QUERIES, articles

FACTS = {article.id: ArticleFeatures.of(article) for article in articles()}
SIGNS = st.text(st.sampled_from("aé1 0-‑–'’.,/&#@+%$€_\u00ad\u00a0🚀🇫🇷ü東ー:=\ue000\ue001"), max_size=40)


@pytest.mark.parametrize(("q", "expected"), QUERIES)
def test_each_spelling_finds_the_others(q: str, expected: list[str]) -> None:
    query = parse(q)
    found = [name for name, facts in FACTS.items() if matches(analysed(query, facts.language), facts)]
    assert sorted(found) == expected


@given(SIGNS)
def test_units_are_in_text_order(text: str) -> None:
    assert len(prepared(text)) == len(text)
    for piece in prepared(text).split():
        found = units(piece)
        assert all(0 <= unit.start < unit.end <= len(piece) for unit in found)
        assert all(one.end <= other.start for one, other in pairwise(found))
        assert all(set(unit.query_terms) <= set(unit.names) for unit in found)
        assert all(unit.words or unit.strict for unit in found)


@given(SIGNS, SIGNS)
def test_terms_are_shorter_than_engine_limits_and_differ_from_field_keys(text: str, title: str) -> None:
    read = articles()[0].model_copy(update={"text": text, "title": title})
    found = analysed_article(read)
    for term in (*found.text, *found.title, *found.joined, *found.words, *whole_title(read).split()):
        assert term
        assert not any(sign.isspace() for sign in term)
        assert not set(term) & set("=:")
    assert set(found.title) | set(found.joined) <= set(found.text) | {SEPARATOR}
    assert (found.text, found.title, found.joined) == (
        article_terms(read),
        title_terms(read),
        article_joined_terms(read),
    )


@given(SIGNS)
def test_a_text_is_found_by_each_of_its_pieces_and_the_piece_is_highlighted(text: str) -> None:
    text = text.replace("\ue001", "")
    facts = ArticleFeatures.of(articles()[0].model_copy(update={"text": text}))
    for piece in prepared(text).split():
        query = parse('"' + piece.replace("\ue001", " ") + '"')
        if query != parse('""'):
            asked = analysed(query, "en")
            assert matches(asked, facts), piece
            assert highlight(text, asked, fragments=0), piece


@pytest.mark.parametrize(
    ("text", "q", "expected"),
    [
        ("An e-mail and an email", "email", "An <mark>e-mail</mark> and an <mark>email</mark>"),
        ("An e‑mail, an email", "e-mail", "An <mark>e‑mail</mark>, an <mark>email</mark>"),
        ("Some 1 000 000 votes", "1,000,000", "Some <mark>1 000 000</mark> votes"),
        ("In C and C++", "C++", "In C and <mark>C</mark>++"),
        ("Go 🚀 go", "🚀", "Go <mark>🚀</mark> go"),
        ("The Wi-Fi network", '"wifi network"', "The <mark>Wi-Fi</mark> <mark>network</mark>"),
        ("Hans Müller", "mueller", "Hans <mark>Müller</mark>"),
        ("covid 19 and 19", "covid19", "<mark>covid</mark> <mark>19</mark> and 19"),
        ("The U.S. and us", "U.S.", "The <mark>U.S</mark>. and us"),
    ],
)
def test_what_is_highlighted(text: str, q: str, expected: str) -> None:
    assert highlight(text, analysed(parse(q), "en"), fragments=0) == [expected]


def test_filters_with_different_searches_differ() -> None:
    queries = [
        "c",
        "c++",
        "c#",
        "email",
        "e-mail",
        '"e mail"',
        "l'ete",
        "l-ete",
        "metoo",
        "#metoo",
        "🚀",
        "3.5",
        "3-5",
        "us",
        "u.s.",
    ]
    assert len({Filter(query=q).digest() for q in queries}) == len(queries)


@pytest.mark.parametrize("repeated", ["a-b.", "a_b/c&d-e'f.", "1,", "a-"])
def test_endless_joined_words_are_split_into_pieces(repeated: str) -> None:
    found = units(repeated * 2_000)
    assert max(len(unit.words) for unit in found) <= MAX_RUN
    assert [word for unit in found for word in unit.words] == words(repeated * 2_000)


def test_signs_next_to_a_unit_are_found_anywhere_in_a_long_text() -> None:
    text = ",C#,$5,.NET,50%" * 500
    assert {name for unit in units(text) for name in unit.names} >= {"c#", "$5", "50%"}
