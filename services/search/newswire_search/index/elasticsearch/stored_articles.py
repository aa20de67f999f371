"""Articles as Elasticsearch stores them: the source has all members except text and body, which are stored fields of their own.

Elasticsearch parses and writes a source again to leave out a member; what is stored by itself is left out by not asking for it.
"""

from collections.abc import Mapping
from typing import Any

from newswire_search.index.mapping import LARGE_MEMBERS, STORED_SUFFIX


def source_members(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the members of an indexed document that hold an article as it is."""
    article = dict(document)
    members: dict[str, Any] = {"article": article}
    for name in LARGE_MEMBERS:
        if name in article:
            members[name + STORED_SUFFIX] = article.pop(name)
    return members


def stored_fields(*, with_text: bool, with_body: bool) -> list[str] | None:
    """Return the stored fields to request in addition to the source; None for none."""
    needed = {"text": with_text, "body": with_body}
    return [name + STORED_SUFFIX for name in LARGE_MEMBERS if needed[name]] or None


def article_in(hit: Mapping[str, Any]) -> dict[str, Any]:
    """Return the article in a hit, with the stored fields that were requested."""
    article: dict[str, Any] = hit["_source"]["article"]
    for field, values in hit.get("fields", {}).items():
        article[field.removesuffix(STORED_SUFFIX)] = values[0]
    return article
