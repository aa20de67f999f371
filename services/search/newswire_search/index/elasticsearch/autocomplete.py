"""Completions from Elasticsearch: two small searches in one request, one for titles and one for names."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from newswire_search.index.elasticsearch.query import ORDER, Body, readable
from newswire_search.index.mapping import FACET_SUFFIX, SEPARATOR, WORDS_SUFFIX
from newswire_search.index.models import (
    Completion,
    CompletionKind,
    CompletionRequest,
    Sort,
)
from newswire_search.query.autocomplete import NAMES, completes, distinct, may_be_mistyped

NEWEST_ARTICLES = 50
"""Names are taken from this many of the newest matching articles; that is cheap, because the sources are not read."""
MAX_FUZZY_WORD_LENGTH = 24
"""Longer words must match exactly: Elasticsearch accepts patterns of at most 1,000 characters."""


def searches(request: CompletionRequest, languages: Collection[str], index: str) -> list[Body]:
    """Return the lines of a multi-search: header and body of the search for titles, then those of the search for names."""
    admitted = readable(request.entitlement, languages)
    titles = _search([*admitted, _containing(request, CompletionKind.TITLE)], request.limit)
    either = {"bool": {"should": [_containing(request, kind) for kind in NAMES], "minimum_should_match": 1}}
    names = _search([*admitted, either], NEWEST_ARTICLES)
    titles["_source"] = ["article.title"]
    names["docvalue_fields"] += [kind + FACET_SUFFIX for kind in NAMES]
    return [{"index": index}, titles, {"index": index}, names]


def completions(request: CompletionRequest, answers: Sequence[Mapping[str, Any]]) -> list[Completion]:
    """Return the completions in the responses to `searches`."""
    titles, names = (answer["hits"]["hits"] for answer in answers)
    found = distinct(
        (_completion(CompletionKind.TITLE, hit["_source"]["article"]["title"], hit) for hit in titles), request.limit
    )
    for kind in NAMES:
        found += distinct((each for hit in names for each in _names(hit, kind, request)), request.limit)
    return found


def _search(clauses: list[Body], size: int) -> Body:
    return {
        "query": {"bool": {"filter": clauses}},
        "sort": ORDER[Sort.NEWEST],
        "size": size,
        "track_total_hits": False,
        "_source": False,
        "docvalue_fields": ["id", "version"],
    }


def _containing(request: CompletionRequest, kind: CompletionKind) -> Body:
    field = kind + WORDS_SUFFIX
    *whole, last = request.words
    return {"bool": {"filter": [*(_whole_word(request, field, word) for word in whole), _prefix(request, field, last)]}}


def _whole_word(request: CompletionRequest, field: str, word: str) -> Body:
    if not _may_be_mistyped(request, word):
        return {"term": {field: word}}
    return {"fuzzy": {field: {"value": word, "fuzziness": 1, "prefix_length": 0}}}


def _prefix(request: CompletionRequest, field: str, word: str) -> Body:
    if not _may_be_mistyped(request, word):
        return {"prefix": {field: word}}
    return {"regexp": {field: {"value": f"{one_edit_pattern(word)}.*", "flags": "NONE"}}}


def _may_be_mistyped(request: CompletionRequest, word: str) -> bool:
    return may_be_mistyped(request, word) and len(word) <= MAX_FUZZY_WORD_LENGTH


def one_edit_pattern(word: str) -> str:
    """Return the pattern of a word with at most one letter wrong, missing, added or swapped with the next."""
    if not word:
        return ""
    letter, rest = word[0], word[1:]
    variants = [letter + one_edit_pattern(rest), ".?" + rest, "." + word]
    if rest:
        variants.append(rest[0] + letter + rest[1:])
    return f"({'|'.join(variants)})"


def _names(hit: Mapping[str, Any], kind: CompletionKind, request: CompletionRequest) -> Iterator[Completion]:
    for value in hit["fields"].get(kind + FACET_SUFFIX, ()):
        name = value.partition(SEPARATOR)[2]
        if completes(request, name):
            yield _completion(kind, name, hit)


def _completion(kind: CompletionKind, value: str, hit: Mapping[str, Any]) -> Completion:
    return Completion(kind, value, hit["fields"]["id"][0], hit["fields"]["version"][0])
