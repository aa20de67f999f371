"""Matcher, Elasticsearch and the embedded index agree on terms and results."""

from functools import cache
from importlib.machinery import SourceFileLoader
from importlib.util import find_spec
from random import Random

import regex

from newswire.article import Article
from newswire.filters import ArticleFeatures
from newswire.text.analysis import article_terms, terms
from newswire.text.query import parse
from newswire.text.query_matching import analysed, matches
from newswire_search.index.elasticsearch.index import ElasticsearchIndex
from newswire_search.index.embedded.index import EmbeddedIndex
from newswire_search.index.mapping import alias_in_use, fields_of
from newswire_search.index.models import Publish, SearchRequest
from newswire_search.index.port import ArticleIndex
from tests.contract import spellings
from tests.contract.table import HARD_TOKENS, IN_LANGUAGES, QUERIES, articles, articles_in_languages
from tests.search.conftest import client_of
from tests.search.samples import article, found, ids, publish, put
from tests.servers.elasticsearch import ElasticsearchServer


@cache
def english_words() -> list[str]:
    """Return thousands of words: those in the source and documentation of Python's own library."""
    words: set[str] = set()
    for name in ("argparse", "difflib", "doctest", "email", "inspect", "logging", "optparse", "pydoc", "pydoc_data.topics",
                 "random", "statistics", "subprocess", "tarfile", "turtle", "typing", "unittest.mock", "zipfile"):  # fmt: skip
        spec = find_spec(name)
        assert spec is not None
        assert isinstance(spec.loader, SourceFileLoader)
        words.update(regex.findall(r"\p{L}[\p{L}'’]+", spec.loader.get_source(name) or ""))
    return sorted(words)


def _texts() -> list[str]:
    words = english_words()
    assert len(words) >= 5000
    return [" ".join(words[at : at + 500]) for at in range(0, len(words), 500)] + [text for text, _ in HARD_TOKENS]


@cache
def _articles() -> tuple[Article, ...]:
    return tuple(article(f"t{n:03}", "Words", text) for n, text in enumerate(_texts()))


async def test_elasticsearch_indexes_the_analysed_terms(
    elasticsearch_index: ElasticsearchIndex, elasticsearch: ElasticsearchServer, namespace: str
) -> None:
    made = _articles()
    await put(elasticsearch_index, publish(made[0].id, made[0].title, made[0].text))
    async with client_of(elasticsearch) as client:
        for sent in made:
            answer = await client.indices.analyze(
                index=alias_in_use(namespace), field="text", text=fields_of(sent)["text"]
            )
            assert [token["token"] for token in answer["tokens"]] == article_terms(sent)
            assert [token["position"] for token in answer["tokens"]] == list(range(len(answer["tokens"])))


async def test_embedded_index_indexes_the_analysed_terms(embedded_index: EmbeddedIndex) -> None:
    made = _articles()
    await put(embedded_index, *(publish(a.id, a.title, a.text) for a in made))
    held = {term for term, _ in embedded_index._index.searcher().terms_with_prefix("text", "")}
    assert held == {term for sent in made for term in article_terms(sent)}


async def test_hard_tokens_match_at_their_positions(index: ArticleIndex) -> None:
    await put(index, *(publish(f"t{n}", "Words", f"before {text} after") for n, (text, _) in enumerate(HARD_TOKENS)))
    for n, (text, expected) in enumerate(HARD_TOKENS):
        assert terms(text) == expected
        if '"' not in text:
            page = await index.search(SearchRequest(query=parse(f'"before {text} after"'), limit=100))
            assert f"t{n}" in ids(page), text


async def test_the_shared_table(index: ArticleIndex) -> None:
    await put(index, *(Publish(a, a.model_dump(mode="json", exclude_none=True)) for a in articles()))
    wrong = {
        q: (got, expected) for q, expected in QUERIES if (got := sorted(await found(index, q, limit=100))) != expected
    }
    assert not wrong


async def test_the_table_of_languages(index: ArticleIndex) -> None:
    await put(index, *(Publish(a, a.model_dump(mode="json", exclude_none=True)) for a in articles_in_languages()))
    wrong = {
        q: (got, expected)
        for q, expected in IN_LANGUAGES
        if (got := sorted(await found(index, q, limit=100))) != expected
    }
    assert not wrong


async def test_the_table_of_spellings(index: ArticleIndex) -> None:
    await put(index, *(Publish(a, a.model_dump(mode="json", exclude_none=True)) for a in spellings.articles()))
    wrong = {
        q: (got, expected)
        for q, expected in spellings.QUERIES
        if (got := sorted(await found(index, q, limit=100))) != expected
    }
    assert not wrong


_FORMS = ["e-mail", "email", "e mail", "covid19", "COVID-19", "C++", "c", "#c", "3.5", "3", "5", "1,000", "1000", "1 000",
          "U.S.", "us", "O’Brien", "obrien", "🚀", "R&D", "r", "50%", "50", "Müller", "mueller", "été", "the",
          "l'été", "state-of-the-art"]  # fmt: skip
_LANGUAGES = ["en", "fr", "de", "da", "sw"]


async def test_index_and_matcher_agree_on_generated_queries(index: ArticleIndex) -> None:
    chance = Random(20261125)
    texts = [" ".join(chance.choices(_FORMS, k=chance.randint(1, 6))) for _ in range(60)]
    sent = [
        article(f"t{n:02}", chance.choice(_FORMS), text, language=_LANGUAGES[n % 5]) for n, text in enumerate(texts)
    ]
    await put(index, *(Publish(each, each.model_dump(mode="json", exclude_none=True)) for each in sent))
    features = {each.id: ArticleFeatures.of(each) for each in sent}
    for _ in range(150):
        parts = chance.choices(_FORMS, k=chance.randint(1, 3))
        q = chance.choice(['"{}"', "{}", "-({})", "title:({})", 'title:"{}"']).format(" ".join(parts))
        query = parse(q)
        expected = [name for name, of in features.items() if matches(analysed(query, of.language), of)]
        assert sorted(await found(index, q, limit=100)) == expected, q
