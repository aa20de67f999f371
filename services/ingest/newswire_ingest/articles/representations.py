"""Other formats of an article: IPTC ninjs for the systems of agencies, schema.org for linked data."""

from collections.abc import Mapping
from typing import Any

from newswire import schema_org as linked_data
from newswire.article import Status
from newswire.schema_org import filled, known_language, permanent_address
from newswire_ingest.content.sanitise import plain_text

NINJS_VERSION = "3.0"
NINJS_SCHEMA = "https://www.iptc.org/std/ninjs/ninjs-schema_3.0.json"
ROLE = "newswire:"
"""The prefix of our own roles among ninjs's ``altIds``."""
_PUB_STATUS = {Status.SCHEDULED: "withheld", Status.PUBLISHED: "usable", Status.RETRACTED: "canceled"}
_FROM_METADATA = (
    ("slugline", "slugline"),
    ("located", "located"),
    ("copyrightNotice", "copyright"),
    ("usageTerms", "usage_terms"),
)


def ninjs(article: Mapping[str, Any]) -> dict[str, Any]:
    """Return an article, or its tombstone, as IPTC's ninjs 3.0.

    Members that ninjs does not have are omitted: metadata except slugline, located, copyright and usage_terms. The category is the
    subject whose ``rel`` is "category".
    """
    text = [
        {
            "role": "main",
            "contentType": "text/html",
            "value": article["body"],
            **_set("wordCount", article.get("word_count")),
        }
        for _ in article.keys() & {"body"}
    ]
    alternatives = (
        ("id", article["id"]),
        ("external-id", article.get("external_id")),
        ("canonical-url", article.get("canonical_url")),
    )
    version = article.get("source_version")
    metadata = article.get("metadata", {})
    document = {
        "uri": permanent_address(article),
        "standard": {"name": "ninjs", "version": NINJS_VERSION, "schema": NINJS_SCHEMA},
        "type": "text",
        "representationType": "full",
        "version": str(article["version"] if version is None else version),
        "firstCreated": article.get("published_at"),
        "versionCreated": article.get("updated_at") or article.get("retracted_at"),
        "embargoedUntil": article.get("embargo_until"),
        "pubStatus": _PUB_STATUS[Status(article["status"])],
        "urgency": article.get("urgency"),
        "language": known_language(article),
        "edNote": article.get("correction_note"),
        "headlines": _texts(article.get("title")),
        "descriptions": _texts(article.get("summary"), "summary"),
        "bodies": text,
        "people": [
            {"name": author["name"], "rel": "author", **_set("uri", author.get("url"))}
            for author in article.get("authors", [])
        ],
        "by": ", ".join(author["name"] for author in article.get("authors", [])),
        "infoSources": [{"name": article["publisher"], "role": "publisher"}],
        "subjects": [
            *({"name": article["category"], "rel": "category"} for _ in [0] if article.get("category")),
            *({"name": topic, "rel": "about"} for topic in article.get("topics", [])),
        ],
        "associations": _pictures(article.get("image")),
        "altIds": [{"role": ROLE + role, "value": value} for role, value in alternatives if value],
        **{name: metadata.get(ours) for name, ours in _FROM_METADATA},
    }
    return filled(document)


def news_article(article: Mapping[str, Any]) -> dict[str, Any]:
    """Return an article, or its tombstone, as schema.org's ``NewsArticle`` in JSON-LD, with its full text."""
    return linked_data.news_article(article, plain_text(article["body"]) if "body" in article else None)


def _texts(value: str | None, role: str = "main") -> list[dict[str, str]]:
    return [{"role": role, "contentType": "text/plain", "value": value}] if value else []


def _pictures(image: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    if not image:
        return []
    rendition = {"name": "main", "href": image["url"], "width": image.get("width"), "height": image.get("height")}
    picture = {
        "name": "main",
        "uri": image["url"],
        "type": "picture",
        "headlines": _texts(image.get("alt")),
        "descriptions": _texts(image.get("caption"), "caption"),
        "by": image.get("credit"),
        "renditions": [filled(rendition)],
    }
    return [filled(picture)]


def _set(name: str, value: Any) -> dict[str, Any]:
    return {} if value is None else {name: value}
