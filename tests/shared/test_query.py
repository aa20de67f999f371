"""The query language, with the table that search and subscriptions share."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newswire.filters import ArticleFeatures
from newswire.text.query import (
    MAX_QUERY_DEPTH,
    Everything,
    Nothing,
    Prefix,
    QueryTooLongError,
    Words,
    interpreted,
    leaves,
    normal,
    parse,
    truncate_query,
)
from newswire.text.query_matching import Phrase, analysed, matches, occurrences, positions
from tests.contract.table import IN_LANGUAGES, QUERIES, articles, articles_in_languages

FACTS = {article.id: ArticleFeatures.of(article) for article in articles()}
NOTHING = ArticleFeatures({}, {}, None)


@pytest.mark.parametrize(("q", "expected"), QUERIES)
def test_the_shared_table(q: str, expected: list[str]) -> None:
    query = parse(q)
    found = [name for name, features in FACTS.items() if matches(analysed(query, features.language), features)]
    assert sorted(found) == expected


@pytest.mark.parametrize(("q", "expected"), IN_LANGUAGES)
def test_the_table_of_languages(q: str, expected: list[str]) -> None:
    features = {article.id: ArticleFeatures.of(article) for article in articles_in_languages()}
    found = [name for name, of in features.items() if matches(analysed(parse(q), of.language), of)]
    assert sorted(found) == expected


@given(st.text(max_size=200))
def test_no_input_is_an_error(q: str) -> None:
    query = parse(q)
    matches(analysed(query, "en"), NOTHING)
    assert parse(interpreted(query)) == query or '"' in interpreted(query)
    assert parse(interpreted(query)) == parse(interpreted(parse(interpreted(query))))


def test_the_size_of_a_query_is_limited() -> None:
    with pytest.raises(QueryTooLongError, match="1000 characters"):
        parse("x" * 1001)
    with pytest.raises(QueryTooLongError, match="64"):
        parse("word " * 65)


def test_the_interpretation_is_an_equivalent_query() -> None:
    assert interpreted(parse('ferries OR boats "night train" -storms')) == '(ferries OR boats) "night train" -storms'
    assert parse("the") == Words(("the",))
    assert parse("") == Everything()


@given(st.text(max_size=200).filter(lambda text: not set(text) & set('"“”„‟«»＂')))
def test_a_text_is_found_by_itself_as_a_phrase(text: str) -> None:
    features = ArticleFeatures.of(articles()[0].model_copy(update={"text": f"before {text} after"}))
    query = parse(f'"{text}"')
    assert query == Nothing() if query == parse('""') else matches(analysed(query, "en"), features)


@given(st.lists(st.sampled_from("abc")), st.lists(st.sampled_from("abc"), min_size=1, max_size=4))
def test_a_phrase_matches_adjacent_terms(found: list[str], phrase: list[str]) -> None:
    begins = {at for at in range(len(found)) if found[at : at + len(phrase)] == phrase}
    assert occurrences(phrase, positions(found)) == begins


def test_order_and_repetition_do_not_matter() -> None:
    assert normal(parse("storm ferry OR boat FERRY -night")) == normal(parse("-night boat OR ferry ferry storm ferry"))
    assert normal(parse("ferry OR Ferry")) == normal(parse("ferry"))
    assert normal(parse("-(a b) c")) == normal(parse("c -(b a)")) != normal(parse("-a -b c"))
    assert normal(parse('"night ferry"')) != normal(parse('"ferry night"'))


def test_prefixes_are_reported() -> None:
    query = parse('fer* -boat* night "storm*" * title:quay*')
    assert [leaf for leaf in leaves(query) if isinstance(leaf, Prefix)] == [Prefix("fer"), Prefix("boat")]


@pytest.mark.parametrize(
    ("typed", "understood"),
    [
        ("(ferry OR boat) -(storm night)", "(ferry OR boat) -(storm night)"),
        ("(a b) OR (c d)", "((a b) OR (c d))"),
        ("a AND b", "a b"),
        ("(ferry", "ferry"),
        ("ferry)) (", "ferry"),
        ('"night ferry', '"night ferry"'),
        ("Title:Ferry", "title:ferry"),
        ('author:"Ada Lindqvist"', 'author:"ada lindqvist"'),
        ("topic:(energy OR sport)", "(topic:energy OR topic:sport)"),
        ("-language:de", "-language:de"),
        ("author: ada", "author ada"),
        ("colour:red", '"colour:red"'),
        ("published:2026", "published:2026-01-01..2026-12-31"),
        ("published:2026-02", "published:2026-02-01..2026-02-28"),
        ("published:2026-01..2026-03", "published:2026-01-01..2026-03-31"),
        ("-published:..2026-03-05", "-published:..2026-03-05"),
        ("published:2026-01-31..", "published:2026-01-31.."),
        ("published:2026-02-30", '"published:2026-02-30"'),
        ("published:..", "published"),
        ("published:0000", '"published:0000"'),
        ("ferr*", "ferr*"),
        ("Café*", "cafe*"),
        ("o'bri*", "((o bri*) OR obri*)"),
        ("f*", "f"),
        ("*", '""'),
        ("ferry NOT boat", "ferry -boat"),
        ("NOT (a b)", "-(a b)"),
        ("C++", '"c++"'),
        ("title:🚀", 'title:"🚀"'),
        ("published:2026-03-01T09:00:00Z..", "published:2026-03-01T09:00:00.000Z.."),
        ("published:2026-03-01T10:00:00+01:00", "published:2026-03-01T09:00:00.000Z..2026-03-01T09:00:00.999Z"),
    ],
)
def test_how_it_is_understood(typed: str, understood: str) -> None:
    assert interpreted(parse(typed)) == understood


def test_parentheses_nested_too_deeply_are_ignored() -> None:
    for depth in (MAX_QUERY_DEPTH, MAX_QUERY_DEPTH + 1, 400):
        assert interpreted(parse("(" * depth + "ferry" + ")" * depth + " boat")) == "ferry boat"


@given(st.text(st.sampled_from('ab "()-:*.'), max_size=60), st.text(max_size=1500))
def test_a_truncated_query_can_be_parsed(signs: str, text: str) -> None:
    for typed in (signs, text, signs * 40):
        parse(truncate_query(typed))
        assert typed.startswith(truncate_query(typed))
    assert truncate_query(signs) == signs


def test_stop_words_depend_on_the_article_s_language() -> None:
    assert analysed(parse("die hard"), "en") != analysed(parse("die hard"), "de")
    assert analysed(parse("die hard"), "de") == Phrase(("hard",))
    assert analysed(parse("die der"), "de") == analysed(parse("die der"), "none")
    assert analysed(parse("the Hafen"), "de") == Phrase(("haf",))
