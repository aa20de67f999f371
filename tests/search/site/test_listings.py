"""The pages of sections, topics and authors, and the newest headlines."""

from collections.abc import AsyncIterator

import httpx
import pytest
from redis.asyncio import Redis

from newswire_search.index.embedded.index import EmbeddedIndex
from newswire_search.index.port import ArticleIndex
from tests.search.reader_client import client_for
from tests.search.samples import publish, put, retract
from tests.search.site.test_pages import page


@pytest.fixture
async def client(index: ArticleIndex, redis: Redis, namespace: str) -> AsyncIterator[httpx.AsyncClient]:
    await put(
        index,
        publish("a1", "Quay closes", category="Harbour", topics=["A/B", "-Tides"], authors=["Ann Lee"]),
        publish("a2", "Quay opens", category="HARBOUR", topics=["a/b"], published_at="2026-03-02T12:00:00Z"),
        publish("a3", "Bread is dear", category="Town", authors=["ann lee", "Bo Ek"]),
    )
    async with client_for(index, redis, namespace) as http:
        yield http


@pytest.mark.parametrize(
    ("path", "name", "titles"),
    [
        ("/sections/harbour", "HARBOUR", {"Quay closes", "Quay opens"}),
        ("/topics/A%2FB", "a/b", {"Quay closes", "Quay opens"}),
        ("/topics/-tides", "-Tides", {"Quay closes"}),
        ("/authors/ANN%20LEE", "ann lee", {"Quay closes", "Bread is dear"}),
        ("/authors/bo%20ek", "Bo Ek", {"Bread is dear"}),
    ],
)
async def test_a_label_in_any_spelling_lists_its_articles(
    client: httpx.AsyncClient, path: str, name: str, titles: set[str]
) -> None:
    shown = await page(client, path)
    assert {title for title in ("Quay closes", "Quay opens", "Bread is dear") if title in shown.text} == titles
    canonical = next(link["href"] for link in shown.all("link") if link.get("rel") == "canonical")
    assert name.lower() in shown.text.lower()
    again = await client.get(str(canonical))
    assert again.status_code == 200


async def test_labels_without_articles_are_404(
    index: ArticleIndex, redis: Redis, namespace: str, client: httpx.AsyncClient
) -> None:
    for path in ("/sections/nothing", "/topics/nothing", "/authors/nobody", "/topics/harbour"):
        await page(client, path, 404)
    await put(index, retract("a3", 2))
    async with client_for(index, redis, namespace) as later:  # which keeps no searches yet
        await page(later, "/sections/Town", 404)
        assert "Town" not in (await page(later, "/")).text


async def test_all_articles_of_a_section_are_reached_page_by_page(
    embedded_index: EmbeddedIndex, redis: Redis, namespace: str
) -> None:
    await put(embedded_index, *(publish(f"a{n:02}", f"Ferry {n:02}", category="Sea") for n in range(65)))
    async with client_for(embedded_index, redis, namespace) as client:
        path, seen, pages = "/sections/Sea", set(), 0
        while path:
            shown = await page(client, path)
            pages += 1
            seen |= {f"Ferry {n:02}" for n in range(65) if f"Ferry {n:02}" in shown.text}
            robots = next(meta["content"] for meta in shown.all("meta") if meta.get("name") == "robots")
            assert ("noindex" in str(robots)) is (pages > 1)
            path = next((str(link["href"]) for link in shown.all("a") if link.get("rel") == "next"), "")
        assert (len(seen), pages) == (65, 3)
        first = await client.get("/sections/Sea")
        cursor = first.text.partition("cursor=")[2].partition('"')[0]
        await page(client, f"/topics/Sea?cursor={cursor}", 400)
        await page(client, "/sections/Sea?cursor=forged", 400)


async def test_the_newest_headlines_are_listed_by_day(client: httpx.AsyncClient) -> None:
    shown = await page(client, "/live")
    # The head names the newest headlines too, without their days.
    of_list = shown.text[shown.text.index("Monday, 2 March 2026") :]
    assert of_list.index("Quay opens") < of_list.index("Sunday, 1 March 2026") < of_list.index("Quay closes")
    (box,) = [each for each in shown.all("div") if "data-live" in each]
    assert box["data-live"] == "/v1/stream"


async def test_pages_ignore_the_parameters_of_campaigns(client: httpx.AsyncClient) -> None:
    campaign = "utm_source=letter&fbclid=x&fields=body&utm_source=again"
    for path in (
        "/",
        "/live",
        "/about",
        "/sections/Town",
        "/topics/A%2FB",
        "/authors/Bo%20Ek",
        "/articles/a3/bread-is-dear",
    ):
        shown = await page(client, f"{path}?{campaign}")
        assert "utm_source" not in "".join(shown.links())
    found = await page(client, f"/search?q=quay&sort=newest&sort=oldest&{campaign}")
    assert "2 articles were found." in found.text


async def test_pages_without_public_reading_name_nothing(index: ArticleIndex, redis: Redis, namespace: str) -> None:
    await put(index, publish("a1", "Quay closes", category="Harbour"))
    async with client_for(index, redis, namespace, public_read=False) as client:
        for path in ("/", "/sections/Harbour", "/articles/a1", "/live"):
            shown = await page(client, path, 401)
            assert "Harbour" not in shown.text
            assert "Quay" not in shown.text


async def test_all_sections_are_listed_with_the_number_of_their_articles(client: httpx.AsyncClient) -> None:
    shown = await page(client, "/sections")
    assert "2 articles" in shown.text
    assert "One article" in shown.text
    assert {"/sections/Town"} <= set(shown.links())
    for link in (each for each in shown.links() if each.startswith("/sections/")):
        await page(client, link)
    assert {"rel": "canonical", "href": "https://news.example/sections"} in shown.all("link")
    assert (await client.get("/sections/")).headers["location"] == "/sections"
    assert "/sections" in (await page(client, "/")).links()


async def test_a_site_without_articles_has_no_sections(
    embedded_index: EmbeddedIndex, redis: Redis, namespace: str
) -> None:
    async with client_for(embedded_index, redis, namespace) as empty:
        assert "Nothing has been published yet." in (await page(empty, "/sections")).text
