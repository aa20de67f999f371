"""What a page makes a browser load, and that it loads nothing of others."""

import re
from urllib.parse import urlsplit

from redis.asyncio import Redis

from newswire_search.index.embedded.index import EmbeddedIndex
from tests.search.reader_client import client_for
from tests.search.samples import publish, put

ARTICLE_BYTES = 50 * 1024
"""Of an article page with its style sheet and scripts, without images, uncompressed but for the body of the article."""
LIST_BYTES = 100 * 1024
TEXT = "\n\n".join(["The tide gates stay open until the eastern quay is repaired, the harbour office said. " * 4] * 20)
LOADED = re.compile(r'<(?:link[^>]* rel="(?:stylesheet|icon)"[^>]*|script[^>]*|img[^>]*)>')
ADDRESS = re.compile(r'(?:href|src)="([^"]+)"')


async def test_pages_are_light_and_load_nothing_of_others(
    embedded_index: EmbeddedIndex, redis: Redis, namespace: str
) -> None:
    image = {"url": "https://pictures.example/a.jpg", "alt": "A quay", "width": 1200, "height": 800}
    articles = [
        publish(
            f"a{n:02}",
            f"Tide gates stay open, part {n}",
            TEXT,
            summary="Skippers had asked for it since the spring, and the office agreed on Thursday.",
            category=["Harbour", "Town", "Weather"][n % 3],
            topics=["Quays", "Repairs"],
            authors=["Ida Marlow"],
            image=image,
        )
        for n in range(60)
    ]
    await put(embedded_index, *articles)
    async with client_for(embedded_index, redis, namespace) as client:
        for path, most in (
            ("/articles/a01/tide-gates-stay-open-part-1", ARTICLE_BYTES),
            ("/", LIST_BYTES),
            ("/sections/Town", LIST_BYTES),
            ("/live", LIST_BYTES),
            ("/search?q=tide", LIST_BYTES),
        ):
            answer = await client.get(path)
            size = len(answer.content)
            for element in set(re.findall(LOADED, answer.text)):
                address = ADDRESS.search(element)
                if address is None:  # data, not a script
                    continue
                if urlsplit(address[1]).netloc:
                    assert address[1] == image["url"], address[1]
                else:
                    size += len((await client.get(address[1])).content)
            assert size <= most, (path, size)
            assert "set-cookie" not in answer.headers


async def test_lead_images_load_first_and_others_late(
    embedded_index: EmbeddedIndex, redis: Redis, namespace: str
) -> None:
    image = {"url": "https://pictures.example/a.jpg", "width": 1200, "height": 800}
    body = '<p><img src="https://pictures.example/b.jpg" alt="B"></p>'
    await put(
        embedded_index, *(publish(f"a{n}", f"Quay {n}", image=image, body=body, category="Sea") for n in range(9))
    )
    async with client_for(embedded_index, redis, namespace) as client:
        for path in ("/", "/sections/Sea", "/articles/a1/quay-1"):
            images = re.findall(r"<img[^>]*>", (await client.get(path)).text)
            assert 'fetchpriority="high"' in images[0]
            assert 'loading="lazy"' not in images[0]
            assert all('loading="lazy"' in each for each in images[1:])
            assert len(images) > 1
