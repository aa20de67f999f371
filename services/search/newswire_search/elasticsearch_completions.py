"""Completions from Elasticsearch: three small searches in one request, one for each kind."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from newswire_search.completing import distinct, goes_on, may_be_mistyped
from newswire_search.elasticsearch_query import ORDER, Body, readable
from newswire_search.index import Beginning, Completion, Kind, Sort
from newswire_search.mapping import FACET_SUFFIX, SEPARATOR, WORDS_SUFFIX

NEWEST = 50
"""Names are taken from this many of the newest articles that bear one; reading them costs little, for no source is read."""
LONGEST_MISTYPED = 24
"""Of longer words no letter may be wrong: Elasticsearch takes patterns of at most 1,000 characters."""


def searches(beginning: Beginning, languages: Collection[str], index: str) -> list[Body]:
    """Return the lines of a multi-search: a header and a body for each kind."""
    return [line for kind in Kind for line in ({"index": index}, _search(beginning, languages, kind))]


def completions(beginning: Beginning, answers: Sequence[Mapping[str, Any]]) -> list[Completion]:
    """Return what the answers of `searches` hold."""
    found: list[Completion] = []
    for kind, answer in zip(Kind, answers, strict=True):
        found += distinct(
            (each for hit in answer["hits"].get("hits", []) for each in _of(hit, kind, beginning)), beginning.limit
        )
    return found


def _search(beginning: Beginning, languages: Collection[str], kind: Kind) -> Body:
    field = kind + WORDS_SUFFIX
    *whole, last = beginning.words
    clauses = [_whole(beginning, field, word) for word in whole]
    clauses.append(_begun(beginning, field, last))
    title = kind is Kind.TITLE
    return {
        "query": {"bool": {"filter": [*readable(beginning.entitlement, languages), *clauses]}},
        "sort": ORDER[Sort.NEWEST],
        "size": beginning.limit if title else max(NEWEST, beginning.limit),
        "track_total_hits": False,
        "_source": ["article.title"] if title else False,
        "docvalue_fields": ["id", "version", *([] if title else [kind + FACET_SUFFIX])],
    }


def _whole(beginning: Beginning, field: str, word: str) -> Body:
    if not _may_be_mistyped(beginning, word):
        return {"term": {field: word}}
    return {"fuzzy": {field: {"value": word, "fuzziness": 1, "prefix_length": 0}}}


def _begun(beginning: Beginning, field: str, word: str) -> Body:
    if not _may_be_mistyped(beginning, word):
        return {"prefix": {field: word}}
    return {"regexp": {field: {"value": f"{one_letter_off(word)}.*", "flags": "NONE"}}}


def _may_be_mistyped(beginning: Beginning, word: str) -> bool:
    return may_be_mistyped(beginning, word) and len(word) <= LONGEST_MISTYPED


def one_letter_off(word: str) -> str:
    """Return the pattern of a word in which one letter may be wrong, missing, too many or swapped with the next."""
    if not word:
        return ""
    letter, rest = word[0], word[1:]
    slips = [letter + one_letter_off(rest), ".?" + rest, "." + word]
    if rest:
        slips.append(rest[0] + letter + rest[1:])
    return f"({'|'.join(slips)})"


def _of(hit: Mapping[str, Any], kind: Kind, beginning: Beginning) -> Iterator[Completion]:
    fields = hit["fields"]
    if kind is Kind.TITLE:
        values = [hit["_source"]["article"]["title"]]
    else:
        spelled = (value.partition(SEPARATOR)[2] for value in fields[kind + FACET_SUFFIX])
        values = [value for value in spelled if goes_on(beginning, value)]
    for value in values:
        yield Completion(kind, value, fields["id"][0], fields["version"][0])
