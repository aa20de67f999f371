"""The theme of an owner: files, templates, and what happens when they are wrong."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from newswire.site.theme import ThemeError
from newswire_search.index.embedded.index import EmbeddedIndex
from tests.search.reader_client import client_for
from tests.search.samples import publish, put
from tests.search.site.test_pages import page

BROWSER = {"Accept": "text/html"}


@asynccontextmanager
async def themed(
    index: EmbeddedIndex, redis: Redis, namespace: str, folder: Path, **more: Any
) -> AsyncIterator[httpx.AsyncClient]:
    await put(index, publish("a1", "Quay closes", category="Harbour", summary="At last."))
    async with client_for(index, redis, namespace, site_theme=folder, **more) as client:
        yield client


async def test_name_logo_icon_colours_and_own_styles(
    embedded_index: EmbeddedIndex, redis: Redis, namespace: str, tmp_path: Path
) -> None:
    static = tmp_path / "static"
    static.mkdir()
    (static / "logo.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    (static / "icon.png").write_bytes(b"\x89PNG")
    (static / "theme.css").write_text("h1 { color: green }")
    more = {
        "site_name": "The Harbour Post",
        "site_tagline": "News from the quay",
        "site_logo": "logo.svg",
        "site_favicon": "icon.png",
        "site_accent": "#0b4f6c",
        "site_sections": ["Harbour", "A & B"],
        "site_about": "We write.\n\nYou read.",
        "site_imprint": "Harbour Media <Ltd>",
        "site_twitter": "@harbour",
    }
    async with themed(embedded_index, redis, namespace, tmp_path, **more) as client:
        shown = await page(client, "/")
        assert "The Harbour Post · News from the quay" in shown.text
        logo = next(image for image in shown.all("img") if image.get("alt") == "The Harbour Post")
        sheets = [str(link["href"]) for link in shown.all("link") if link.get("rel") == "stylesheet"]
        icon = next(str(link["href"]) for link in shown.all("link") if link.get("rel") == "icon")
        assert len(sheets) == 2
        files = [(logo["src"], "image/svg+xml"), (icon, "image/png")]
        files += [(sheet, "text/css; charset=utf-8") for sheet in sheets]
        for path, kind in files:
            answer = await client.get(str(path))
            assert (answer.status_code, answer.headers["content-type"]) == (200, kind), path
            assert "immutable" in answer.headers["cache-control"]
        assert "--accent:#0b4f6c" in (await client.get(sheets[0])).text
        assert {"/sections/Harbour", "/sections/A%20%26%20B"} <= set(shown.links())
        about = await page(client, "/about")
        assert "We write." in about.text
        assert "Harbour Media <Ltd>" in about.text
        assert (await client.get("/favicon.ico")).headers["location"] == icon
        assert {"name": "twitter:site", "content": "@harbour"} in about.all("meta")
        assert "The Harbour Post" in (await client.get("/opensearch.xml")).text
        assert "The Harbour Post: Latest articles" in (await client.get("/feeds/latest.xml")).text


async def test_an_owner_replaces_a_block(
    embedded_index: EmbeddedIndex, redis: Redis, namespace: str, tmp_path: Path
) -> None:
    (tmp_path / "article.html").write_text(
        '{% extends "default/article.html" %}{% block newsletter_box %}{% include "_box.html" %}{% endblock %}'
    )
    (tmp_path / "_box.html").write_text("<p>Letters of {{ article.category }} {{ '<b>' }}</p>")
    async with themed(embedded_index, redis, namespace, tmp_path) as client:
        shown = await client.get("/articles/a1/quay-closes")
        assert "<p>Letters of Harbour &lt;b&gt;</p>" in shown.text
        assert "Nothing to see." in shown.text


@pytest.mark.parametrize(
    ("name", "source", "says"),
    [
        ("artikel.html", "<p>", "artikel.html replaces no template of the site"),
        ("article.html", "{% if %}", "article.html, line 1"),
        ("_part.html", "\n\n{{ a b }}", "_part.html, line 3"),
        ("static/a b.png", "", "its name must be"),
        ("static/tool.exe2", "", "known extension"),
    ],
)
async def test_an_unusable_theme_stops_the_start(
    embedded_index: EmbeddedIndex, redis: Redis, namespace: str, tmp_path: Path, name: str, source: str, says: str
) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(source)
    with pytest.raises(ThemeError, match=says):
        client_for(embedded_index, redis, namespace, site_theme=tmp_path)


async def test_a_template_that_fails_has_an_error_page_of_the_site(
    embedded_index: EmbeddedIndex, redis: Redis, namespace: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "article.html").write_text("{{ nothing.of.the.kind }}")
    (tmp_path / "problem.html").write_text("{{ static('missing.png') }}")
    async with themed(embedded_index, redis, namespace, tmp_path) as client:
        answer = await client.get("/articles/a1/quay-closes", headers=BROWSER)
    assert answer.status_code == 500
    assert "Something went wrong" in answer.text
    assert "nothing" not in answer.text
    assert [record for record in caplog.records if record.levelno >= logging.ERROR]
