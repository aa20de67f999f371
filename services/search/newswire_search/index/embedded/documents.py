"""Articles as tantivy documents: the schema, writing them, and reading what a searcher sees of them."""

from collections.abc import Mapping
from typing import Any

import tantivy

from newswire_search.index.embedded.stored_articles import read_article, stored_values
from newswire_search.index.mapping import FACET_SUFFIX, TITLE_WORDS, WORD_FIELDS, WORDS_SUFFIX, fields_of
from newswire_search.index.models import FACETS, Operation, Publish, Retracted, SearchRequest

DATE_ORDER = "moment"
"""The field that results are sorted by: tantivy sorts by one field, so it holds the time and, for ties, the id."""
YEAR_ONE_MS = -62_135_596_800_000
"""The earliest possible time of an article, in ms since 1970: sort keys count from it, so that they are never negative."""


def create_schema() -> tantivy.Schema:
    """Return the schema of an index of articles."""
    builder = tantivy.SchemaBuilder()
    builder.add_text_field("id", stored=True, tokenizer_name="raw", index_option="basic")
    builder.add_integer_field("version", fast=True)
    builder.add_boolean_field("retracted", indexed=True)
    for name in ("text", "joined", "title_terms", *(name + WORDS_SUFFIX for name in WORD_FIELDS)):
        builder.add_text_field(name, tokenizer_name="spaces", index_option="position")
    for name in FACETS:
        builder.add_text_field(name, tokenizer_name="raw", index_option="basic")
        builder.add_text_field(name + FACET_SUFFIX, tokenizer_name="raw", index_option="basic", fast=True)
    for name in ("analysis", "whole_title"):
        builder.add_text_field(name, tokenizer_name="raw", index_option="basic")
    for name in ("words", TITLE_WORDS):
        builder.add_text_field(name, tokenizer_name="spaces", index_option="basic")
    builder.add_text_field("metadata", tokenizer_name="raw", index_option="basic")
    for name in ("published_at", "updated_at"):
        builder.add_integer_field(name, indexed=True, fast=True)
    builder.add_text_field(DATE_ORDER, tokenizer_name="raw", index_option="basic", fast=True)
    builder.add_bytes_field("article", stored=True)
    return builder.build()


def document_of(operation: Operation) -> tantivy.Document:
    """Return the document that an operation writes."""
    document = tantivy.Document()
    document.add_text("id", operation.id)
    document.add_integer("version", operation.version)
    document.add_boolean("retracted", not isinstance(operation, Publish))
    if not isinstance(operation, Publish):
        return document
    fields = fields_of(operation.article)
    for name, value in fields.items():
        if isinstance(value, int):
            document.add_integer(name, value)
        else:
            for text in [value] if isinstance(value, str) else value:
                document.add_text(name, text)
    document.add_text(DATE_ORDER, date_order_key(fields["published_at"], operation.id))
    for value in stored_values(operation.document):
        document.add_bytes("article", value)
    return document


def date_order_key(published_at_ms: int, article_id: str) -> str:
    """Return the value of `DATE_ORDER` of an article."""
    return f"{published_at_ms - YEAR_ONE_MS:016d}{article_id}"


def parse_date_order_key(key: str) -> tuple[int, str]:
    """Return the time of publication in ms and the id from a value of `DATE_ORDER`."""
    return int(key[:16]) + YEAR_ONE_MS, key[16:]


def address_of(searcher: tantivy.Searcher, schema: tantivy.Schema, article_id: str) -> tantivy.DocAddress | None:
    """Return the address at which a searcher finds an article, or None."""
    query = tantivy.Query.term_query(schema, "id", article_id, index_option="basic")
    hits = searcher.search(query, limit=1, count=False).hits
    return hits[0][1] if hits else None


def version_at(searcher: tantivy.Searcher, address: tantivy.DocAddress) -> int:
    """Return the version of the document at an address."""
    (version,) = searcher.fast_field_values("version", [address])
    return int(version or 0)


def version_of(searcher: tantivy.Searcher, schema: tantivy.Schema, article_id: str) -> int:
    """Return the version that a searcher sees of an article, published or retracted; -1 if it sees none."""
    address = address_of(searcher, schema, article_id)
    return -1 if address is None else version_at(searcher, address)


def get_article(
    searcher: tantivy.Searcher,
    schema: tantivy.Schema,
    article_id: str,
    *,
    with_text: bool = True,
    with_body: bool = True,
) -> Mapping[str, Any] | Retracted | None:
    """Return an article, `Retracted`, or None for an unknown id."""
    address = address_of(searcher, schema, article_id)
    if address is None:
        return None
    if stored := searcher.doc(address)["article"]:
        return read_article(stored, with_text=with_text, with_body=with_body)
    return Retracted(article_id, version_at(searcher, address))


def article_at(
    searcher: tantivy.Searcher,
    address: tantivy.DocAddress,
    *,
    with_text: bool,
    with_body: bool,
    text_characters: int | None = None,
) -> dict[str, Any]:
    """Return the article at an address; see `read_article`."""
    stored = searcher.doc(address)["article"]
    return read_article(stored, with_text=with_text, with_body=with_body, text_characters=text_characters)


def requested_article_at(
    searcher: tantivy.Searcher, address: tantivy.DocAddress, request: SearchRequest
) -> dict[str, Any]:
    """Return the article at an address with the members that a search needs."""
    if request.entitlement is not None and request.entitlement.query:  # the entitlement is evaluated on the full text
        return article_at(searcher, address, with_text=True, with_body=request.with_body)
    return article_at(
        searcher,
        address,
        with_text=request.with_text,
        with_body=request.with_body,
        text_characters=request.text_characters,
    )
