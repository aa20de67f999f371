"""An article as others write it: ninjs for agencies' systems, schema.org for whoever reads linked data."""

from collections.abc import Mapping
from typing import Any

from newswire.article import Status
from newswire_ingest.sanitise import plain_text

NINJS_VERSION = "3.0"
NINJS_SCHEMA = "https://www.iptc.org/std/ninjs/ninjs-schema_3.0.json"
ROLE = "newswire:"
"""What our own roles among ninjs's ``altIds`` begin with."""
_PUB_STATUS = {Status.SCHEDULED: "withheld", Status.PUBLISHED: "usable", Status.RETRACTED: "canceled"}
_FROM_METADATA = (
    ("slugline", "slugline"),
    ("located", "located"),
    ("copyrightNotice", "copyright"),
    ("usageTerms", "usage_terms"),
)


def ninjs(article: Mapping[str, Any]) -> dict[str, Any]:
    """Return an article, or what remains of one, as IPTC's ninjs 3.0.

    What ninjs has no place for is left out: metadata beside slugline, located, copyright and usage_terms. The category is the
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
        "uri": _address(article),
        "standard": {"name": "ninjs", "version": NINJS_VERSION, "schema": NINJS_SCHEMA},
        "type": "text",
        "representationType": "full",
        "version": str(article["version"] if version is None else version),
        "firstCreated": article.get("published_at"),
        "versionCreated": article.get("updated_at") or article.get("retracted_at"),
        "embargoedUntil": article.get("embargo_until"),
        "pubStatus": _PUB_STATUS[Status(article["status"])],
        "urgency": article.get("urgency"),
        "language": _language(article),
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
    return _filled(document)


def news_article(article: Mapping[str, Any]) -> dict[str, Any]:
    """Return an article, or what remains of one, as schema.org's ``NewsArticle`` in JSON-LD."""
    image = article.get("image") or {}
    document = {
        "@context": "https://schema.org",
        "@type": "NewsArticle",
        "@id": _address(article),
        "identifier": article["id"],
        "url": article.get("url"),
        "mainEntityOfPage": article.get("canonical_url"),
        "creativeWorkStatus": str(article["status"]).capitalize(),
        "version": article["version"],
        "headline": article.get("title"),
        "description": article.get("summary"),
        "articleBody": plain_text(article["body"]) if "body" in article else None,
        "author": [
            {"@type": "Person", "name": author["name"], **_set("url", author.get("url"))}
            for author in article.get("authors", [])
        ],
        "publisher": {"@type": "Organization", "name": article["publisher"]},
        "datePublished": article.get("published_at"),
        "dateModified": article.get("updated_at"),
        "articleSection": article.get("category"),
        "keywords": article.get("topics"),
        "inLanguage": _language(article),
        "wordCount": article.get("word_count"),
        "correction": article.get("correction_note"),
        "image": image
        and _filled(
            {
                "@type": "ImageObject",
                "url": image["url"],
                "description": image.get("alt"),
                "caption": image.get("caption"),
                "creditText": image.get("credit"),
                "width": image.get("width"),
                "height": image.get("height"),
            }
        ),
    }
    return _filled(document)


def _address(article: Mapping[str, Any]) -> str:
    """Return an address that stays when the title changes, which the last part of ``url`` is made from."""
    before, _, _ = str(article.get("url", "")).partition(article["id"])
    return f"{before}{article['id']}" if before else f"urn:newswire:{article['id']}"


def _language(article: Mapping[str, Any]) -> str | None:
    language = article.get("language")
    return None if language == "und" else language


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
        "renditions": [_filled(rendition)],
    }
    return [_filled(picture)]


def _set(name: str, value: Any) -> dict[str, Any]:
    return {} if value is None else {name: value}


def _filled(document: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in document.items() if value not in (None, "", [], {})}
