"""Completions from Elasticsearch: two small searches in one request, one for titles and one for names."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from newswire_search.index.elasticsearch.query import ORDER, Body, readable
from newswire_search.index.mapping import FACET_SUFFIX, SEPARATOR, WORDS_SUFFIX
from newswire_search.index.port import Completion, CompletionKind, CompletionRequest, Sort
from newswire_search.query.autocomplete import NAMES, distinct, goes_on, may_be_mistyped

NEWEST = 50
"""Names are taken from this many of the newest articles that bear one; reading them costs little, for no source is read."""
MAX_FUZZY_WORD_LENGTH = 24
"""Of longer words no letter may be wrong: Elasticsearch takes patterns of at most 1,000 characters."""


def searches(request: CompletionRequest, languages: Collection[str], index: str) -> list[Body]:
    """Return the lines of a multi-search: header and body of the search for titles, then those of the search for names."""
    admitted = readable(request.entitlement, languages)
    titles = _search([*admitted, _holding(request, CompletionKind.TITLE)], request.limit)
    either = {"bool": {"should": [_holding(request, kind) for kind in NAMES], "minimum_should_match": 1}}
    names = _search([*admitted, either], NEWEST)
    titles["_source"] = ["article.title"]
    names["docvalue_fields"] += [kind + FACET_SUFFIX for kind in NAMES]
    return [{"index": index}, titles, {"index": index}, names]


def completions(request: CompletionRequest, answers: Sequence[Mapping[str, Any]]) -> list[Completion]:
    """Return what the answers of `searches` hold."""
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


def _holding(request: CompletionRequest, kind: CompletionKind) -> Body:
    field = kind + WORDS_SUFFIX
    *whole, last = request.words
    return {"bool": {"filter": [*(_whole(request, field, word) for word in whole), _begun(request, field, last)]}}


def _whole(request: CompletionRequest, field: str, word: str) -> Body:
    if not _may_be_mistyped(request, word):
        return {"term": {field: word}}
    return {"fuzzy": {field: {"value": word, "fuzziness": 1, "prefix_length": 0}}}


def _begun(request: CompletionRequest, field: str, word: str) -> Body:
    if not _may_be_mistyped(request, word):
        return {"prefix": {field: word}}
    return {"regexp": {field: {"value": f"{one_letter_off(word)}.*", "flags": "NONE"}}}


def _may_be_mistyped(request: CompletionRequest, word: str) -> bool:
    return may_be_mistyped(request, word) and len(word) <= MAX_FUZZY_WORD_LENGTH


def one_letter_off(word: str) -> str:
    """Return the pattern of a word in which one letter may be wrong, missing, too many or swapped with the next."""
    if not word:
        return ""
    letter, rest = word[0], word[1:]
    slips = [letter + one_letter_off(rest), ".?" + rest, "." + word]
    if rest:
        slips.append(rest[0] + letter + rest[1:])
    return f"({'|'.join(slips)})"


def _names(hit: Mapping[str, Any], kind: CompletionKind, request: CompletionRequest) -> Iterator[Completion]:
    for held in hit["fields"].get(kind + FACET_SUFFIX, ()):
        name = held.partition(SEPARATOR)[2]
        if goes_on(request, name):
            yield _completion(kind, name, hit)


def _completion(kind: CompletionKind, value: str, hit: Mapping[str, Any]) -> Completion:
    return Completion(kind, value, hit["fields"]["id"][0], hit["fields"]["version"][0])
