"""An article as linked data: ``NewsArticle`` of schema.org, for API clients and search engines."""

from collections.abc import Mapping
from typing import Any


def news_article(article: Mapping[str, Any], text: str | None = None) -> dict[str, Any]:
    """Return an article, or its tombstone, as schema.org's ``NewsArticle`` in JSON-LD, with its plain text if given."""
    image = article.get("image") or {}
    document = {
        "@context": "https://schema.org",
        "@type": "NewsArticle",
        "@id": permanent_address(article),
        "identifier": article["id"],
        "url": article.get("url"),
        "mainEntityOfPage": article.get("canonical_url"),
        "creativeWorkStatus": str(article["status"]).capitalize(),
        "version": article["version"],
        "headline": article.get("title"),
        "description": article.get("summary"),
        "articleBody": text,
        "author": [
            filled({"@type": "Person", "name": author["name"], "url": author.get("url")})
            for author in article.get("authors", [])
        ],
        "publisher": {"@type": "Organization", "name": article["publisher"]},
        "datePublished": article.get("published_at"),
        "dateModified": article.get("updated_at"),
        "articleSection": article.get("category"),
        "keywords": article.get("topics"),
        "inLanguage": known_language(article),
        "wordCount": article.get("word_count"),
        "correction": article.get("correction_note"),
        "image": image
        and filled(
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
    return filled(document)


def permanent_address(article: Mapping[str, Any]) -> str:
    """Return an address that does not change with the title, from which the last part of ``url`` is derived."""
    before, _, _ = str(article.get("url", "")).partition(article["id"])
    return f"{before}{article['id']}" if before else f"urn:newswire:{article['id']}"


def known_language(article: Mapping[str, Any]) -> str | None:
    """Return the language of an article, if it is known."""
    language = article.get("language")
    return None if language == "und" else language


def filled(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the members that are not empty."""
    return {name: value for name, value in document.items() if value not in (None, "", [], {})}
