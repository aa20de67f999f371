"""The fields of an indexed article, and the mapping and settings of the Elasticsearch index."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from newswire.article import Article
from newswire.filters import field_text
from newswire.text.analysis import analysed_article, language_of
from newswire.text.folding import fold
from newswire.text.query import FIELDS, Field
from newswire.timestamps import epoch_ms_nearest

MAPPING_NUMBER = 4
"""Raised with every change of the indexed fields; part of the index's name, so that old and new indexes can coexist."""

MAX_TOKEN_UTF16_UNITS = 2000
"""`newswire.text.analysis` makes no longer terms, so the server splits none."""

FACET_SUFFIX = "_facet"
WORDS_SUFFIX = "_words"
WORD_FIELDS: tuple[Field, ...] = tuple(field for field in FIELDS if field != "title")
"""Fields in which single words can be searched, as in ``author:lindqvist``."""
TITLE_WORDS = "title" + WORDS_SUFFIX
"""The words of the title as written, without accents: the field that completions search."""
STORED_SUFFIX = "_stored"
LARGE_MEMBERS = ("text", "body")
"""Members of an article that Elasticsearch stores beside its source, so that results without them cost no filtering."""
SEPARATOR = "\x1f"
DAY_MS = 86_400_000


def month(time: datetime) -> str:
    """Return the month of a time, in UTC, as ``2026-03``."""
    at = time.astimezone(UTC)
    return f"{at.year:04d}-{at.month:02d}"


def metadata_term(name: str, value: str) -> str:
    """Return the indexed form of one folded metadata pair."""
    return f"{name}{SEPARATOR}{value}"


def fields_of(article: Article) -> dict[str, Any]:
    """Return the searchable fields of an article; analysed fields are terms joined by spaces."""
    found = analysed_article(article)
    fields: dict[str, Any] = {
        "analysis": language_of(article.language),
        "words": _joined(found.words),
        TITLE_WORDS: _joined(found.title_words),
        **{name + WORDS_SUFFIX: field_text(article, name) for name in WORD_FIELDS},
        "text": _joined(found.text),
        "joined": _joined(found.joined),
        "title_terms": _joined(found.title),
        "whole_title": found.whole_title,
        "published_at": epoch_ms_nearest(article.published_at),
        "updated_at": epoch_ms_nearest(article.updated_at),
        "metadata": [metadata_term(key, value) for key, value in _folded(article.metadata).items()],
    }
    counted = facet_terms(
        category=article.category,
        topics=article.topics,
        authors=article.author_names,
        publisher=article.publisher,
        language=article.language,
        published_at=article.published_at,
    )
    for name, terms in counted.items():
        fields[name] = [term.partition(SEPARATOR)[0] for term in terms]
        fields[name + FACET_SUFFIX] = terms
    return fields


def facet_terms(
    *,
    category: str | None,
    topics: Iterable[str],
    authors: Iterable[str],
    publisher: str,
    language: str,
    published_at: datetime,
) -> dict[str, list[str]]:
    """Return the values of an article that facets count, by field; each value folded, and as it is written."""
    return {
        "category": _facet_terms([category] if category else []),
        "topic": _facet_terms(topics),
        "author": _facet_terms(authors),
        "publisher": _facet_terms([publisher]),
        "language": _facet_terms([language]),
        "month": _facet_terms([month(published_at)]),
    }


def _folded(metadata: Mapping[str, str]) -> dict[str, str]:
    return {fold(name): fold(value) for name, value in metadata.items()}


def _joined(terms: Iterable[str]) -> str:
    return " ".join(terms)


def _facet_terms(values: Iterable[str]) -> list[str]:
    """Return the first spelling of each folded value, so that an article counts once per value."""
    folded: dict[str, str] = {}
    for value in values:
        folded.setdefault(fold(value), value)
    return [f"{key}{SEPARATOR}{value}" for key, value in folded.items()]


_TERMS = {"type": "text", "analyzer": "terms", "index_options": "positions"}
_WORD_SET = {"type": "text", "analyzer": "terms", "index_options": "docs", "norms": False}
_KEYWORD = {"type": "keyword"}
_TERM_ONLY = _KEYWORD | {"doc_values": False}
_VALUE_ONLY: dict[str, Any] = {"index": False}
_STORED = {"type": "text", "index": False, "norms": False, "store": True}
_TIME = {"type": "date", "format": "epoch_millis"}
_KEYWORDS = ("category", "topic", "author", "publisher", "language", "month")

MAPPING: dict[str, Any] = {
    "dynamic": "strict",
    # Analysed and counted fields can be derived from the article; storing them as well would only use disk space.
    "_source": {"includes": ["id", "version", "retracted", "article"]},
    "properties": {
        "id": _KEYWORD | _VALUE_ONLY,
        "version": {"type": "long"},
        "retracted": {"type": "boolean"},
        "text": _TERMS,
        "joined": _TERMS | {"norms": False},
        "title_terms": _TERMS,
        "whole_title": _TERM_ONLY,
        "analysis": _KEYWORD,
        "words": _WORD_SET,
        TITLE_WORDS: _WORD_SET,
        **{name + WORDS_SUFFIX: _TERMS | {"norms": False} for name in WORD_FIELDS},
        "published_at": _TIME,
        "updated_at": _TIME | _VALUE_ONLY,
        "metadata": _TERM_ONLY,
        **dict.fromkeys(_KEYWORDS, _KEYWORD),
        **{name + FACET_SUFFIX: _KEYWORD for name in _KEYWORDS},
        "article": {"type": "object", "enabled": False},
        **{name + STORED_SUFFIX: _STORED for name in LARGE_MEMBERS},
    },
}


def stem_of(namespace: str) -> str:
    """Return the beginning of the names of all indexes of a namespace, without the braces of a hash tag."""
    return f"{namespace.strip('{}')}-articles"


def alias_in_use(namespace: str) -> str:
    """Return the alias of the Elasticsearch index that this release reads and writes.

    It contains the mapping number: a process never uses an index of a release with another mapping.
    """
    return f"{stem_of(namespace)}-{MAPPING_NUMBER}"


RECOVERY_PERIOD = "1m"
"""How long Elasticsearch keeps documents as they were sent, besides the stored source, until a merge drops them: half of an index.

A replica that was away for longer is copied as files; after a minute Elasticsearch gives it to another node anyway.
"""


def index_settings(shards: int, replicas: int | None, refresh_ms: int) -> dict[str, Any]:
    """Return the settings of an Elasticsearch index of articles. By default it has a replica once there is a second node."""
    return {
        "number_of_shards": shards,
        **({"auto_expand_replicas": "0-1"} if replicas is None else {"number_of_replicas": replicas}),
        "refresh_interval": f"{refresh_ms}ms",
        "soft_deletes.retention_lease.period": RECOVERY_PERIOD,
        "analysis": {
            # Terms are analysed in Python; the server only splits them at spaces. It counts UTF-16 units.
            "tokenizer": {"spaces": {"type": "whitespace", "max_token_length": MAX_TOKEN_UTF16_UNITS}},
            "analyzer": {"terms": {"type": "custom", "tokenizer": "spaces"}},
        },
    }
