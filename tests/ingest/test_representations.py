"""The representations of an article: JSON, ninjs, JSON-LD."""

from typing import Any

import pytest

from tests.ingest.conftest import Ingest

FULL = {
    "title": "Harbour bridge <reopens>",
    "body": "<p>Trams &amp; bikes run <em>again</em>.</p>",
    "summary": "After a year.",
    "authors": [{"name": "Ida Roth", "url": "https://courier.example/roth"}, "Tom Berg"],
    "category": "City",
    "topics": ["Bridges", "Trams"],
    "language": "en",
    "published_at": "2026-03-01T09:30:00Z",
    "external_id": "gz-1",
    "canonical_url": "https://courier.example/bridge",
    "image": {
        "url": "https://courier.example/b.jpg",
        "alt": "A bridge",
        "caption": "At dawn",
        "credit": "L. Quist",
        "width": 800,
    },
    "urgency": 3,
    "metadata": {"slugline": "BRIDGE", "desk": "metro"},
    "source_version": 7,
    "correction_note": "The year was wrong.",
}


async def published(ingest: Ingest, publisher: dict[str, str], article: dict[str, Any]) -> dict[str, Any]:
    answer = await ingest.http.post("/v1/articles", json=article, headers=publisher)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def test_ninjs(ingest: Ingest, publisher: dict[str, str]) -> None:
    article = await published(ingest, publisher, FULL)
    headers = {**publisher, "Accept": "application/ninjs+json"}
    answer = await ingest.http.get(f"/v1/articles/{article['id']}", headers=headers)

    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/ninjs+json"
    assert "Accept" in answer.headers["vary"].split(", ")
    assert "etag" not in answer.headers
    assert answer.json() == {
        "uri": f"https://news.example/articles/{article['id']}",
        "standard": {
            "name": "ninjs",
            "version": "3.0",
            "schema": "https://www.iptc.org/std/ninjs/ninjs-schema_3.0.json",
        },
        "type": "text",
        "representationType": "full",
        "version": "7",
        "firstCreated": "2026-03-01T09:30:00Z",
        "versionCreated": article["updated_at"],
        "pubStatus": "usable",
        "urgency": 3,
        "language": "en",
        "edNote": "The year was wrong.",
        "headlines": [{"role": "main", "contentType": "text/plain", "value": "Harbour bridge <reopens>"}],
        "descriptions": [{"role": "summary", "contentType": "text/plain", "value": "After a year."}],
        "bodies": [
            {
                "role": "main",
                "contentType": "text/html",
                "value": "<p>Trams &amp; bikes run <em>again</em>.</p>",
                "wordCount": 5,
            }
        ],
        "people": [
            {"name": "Ida Roth", "rel": "author", "uri": "https://courier.example/roth"},
            {"name": "Tom Berg", "rel": "author"},
        ],
        "by": "Ida Roth, Tom Berg",
        "infoSources": [{"name": "Harbour Gazette", "role": "publisher"}],
        "subjects": [
            {"name": "City", "rel": "category"},
            {"name": "Bridges", "rel": "about"},
            {"name": "Trams", "rel": "about"},
        ],
        "associations": [
            {
                "name": "main",
                "uri": "https://courier.example/b.jpg",
                "type": "picture",
                "headlines": [{"role": "main", "contentType": "text/plain", "value": "A bridge"}],
                "descriptions": [{"role": "caption", "contentType": "text/plain", "value": "At dawn"}],
                "by": "L. Quist",
                "renditions": [{"name": "main", "href": "https://courier.example/b.jpg", "width": 800}],
            }
        ],
        "altIds": [
            {"role": "newswire:id", "value": article["id"]},
            {"role": "newswire:external-id", "value": "gz-1"},
            {"role": "newswire:canonical-url", "value": "https://courier.example/bridge"},
        ],
        "slugline": "BRIDGE",
    }


async def test_linked_data(ingest: Ingest, publisher: dict[str, str]) -> None:
    article = await published(ingest, publisher, FULL)
    headers = {**publisher, "Accept": "application/ld+json"}
    answer = await ingest.http.get("/v1/articles/by-external-id/gz-1", headers=headers)

    assert answer.headers["content-type"] == "application/ld+json"
    assert answer.json() == {
        "@context": "https://schema.org",
        "@type": "NewsArticle",
        "@id": f"https://news.example/articles/{article['id']}",
        "identifier": article["id"],
        "url": article["url"],
        "mainEntityOfPage": "https://courier.example/bridge",
        "creativeWorkStatus": "Published",
        "version": 1,
        "headline": "Harbour bridge <reopens>",
        "description": "After a year.",
        "articleBody": "Trams & bikes run again.",
        "author": [
            {"@type": "Person", "name": "Ida Roth", "url": "https://courier.example/roth"},
            {"@type": "Person", "name": "Tom Berg"},
        ],
        "publisher": {"@type": "Organization", "name": "Harbour Gazette"},
        "datePublished": "2026-03-01T09:30:00Z",
        "dateModified": article["updated_at"],
        "articleSection": "City",
        "keywords": ["Bridges", "Trams"],
        "inLanguage": "en",
        "wordCount": 5,
        "correction": "The year was wrong.",
        "image": {
            "@type": "ImageObject",
            "url": "https://courier.example/b.jpg",
            "description": "A bridge",
            "caption": "At dawn",
            "creditText": "L. Quist",
            "width": 800,
        },
    }


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        (None, "application/json"),
        ("", "application/json"),
        ("*/*", "application/json"),
        ("application/*;q=0.5", "application/json"),
        ("text/html, application/xhtml+xml, */*;q=0.1", "application/json"),
        ("application/ninjs+json;q=0.4, application/json;q=0.3", "application/ninjs+json"),
        ("application/json;q=0, */*", "application/ninjs+json"),
        ("APPLICATION/LD+JSON", "application/ld+json"),
        ("application/ld+json, */*;q=0.9", "application/ld+json"),
        ("text/html", None),
        ("application/json;q=0", None),
        ("application/ninjs+json;q=nonsense", None),
    ],
)
async def test_the_accept_header_selects_the_representation(
    ingest: Ingest, publisher: dict[str, str], accept: str | None, form: str | None
) -> None:
    article = await published(ingest, publisher, {"title": "Short", "body": ""})
    del ingest.http.headers["accept"]
    headers = publisher if accept is None else {**publisher, "Accept": accept}
    answer = await ingest.http.get(f"/v1/articles/{article['id']}", headers=headers)

    if form is None:
        assert answer.status_code == 406
        assert answer.json()["errors"][0]["field"] == "Accept"
    else:
        assert (answer.status_code, answer.headers["content-type"]) == (200, form)
        assert "Accept" in answer.headers["vary"].split(", ")


async def test_no_representation_contains_retracted_text(ingest: Ingest, publisher: dict[str, str]) -> None:
    article = await published(ingest, publisher, FULL)
    await ingest.http.delete(f"/v1/articles/{article['id']}", headers=publisher)

    for form in ("application/ninjs+json", "application/ld+json"):
        answer = await ingest.http.get(f"/v1/articles/{article['id']}", headers={**publisher, "Accept": form})
        assert answer.status_code == 200
        assert not any(word in answer.text for word in ("reopens", "After a year", "bikes"))
    assert answer.json()["creativeWorkStatus"] == "Retracted"


async def test_a_scheduled_article_has_no_public_representation(ingest: Ingest, publisher: dict[str, str]) -> None:
    article = await published(
        ingest, publisher, {"title": "Later", "body": "", "embargo_until": "2999-01-01T00:00:00Z"}
    )
    headers = {**publisher, "Accept": "application/ninjs+json"}
    item = (await ingest.http.get(f"/v1/articles/{article['id']}", headers=headers)).json()

    assert (item["pubStatus"], item["embargoedUntil"]) == ("withheld", "2999-01-01T00:00:00Z")
