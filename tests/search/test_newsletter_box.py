"""Which newsletter the page of an article offers."""

from redis.asyncio import Redis

from newswire.keys import Keyspace
from newswire.newsletters import PublicNewsletter, read_public_newsletters, write_public_newsletters
from newswire_search.site.newsletter_box import REFRESH_SECONDS, NewsletterBoxes


def newsletter(slug: str, *topics: str) -> PublicNewsletter:
    return PublicNewsletter(slug=slug, name=slug.title(), description="…", language="en", topics=list(topics))


async def test_the_newsletter_with_most_topics_of_the_article_is_offered(redis: Redis, namespace: str) -> None:
    keys, now = Keyspace(namespace), [0.0]
    boxes = NewsletterBoxes(redis, keys, lambda: now[0])
    assert await boxes.box("Transport", ["Ferries"]) is None
    await write_public_newsletters(
        redis, keys, [newsletter("all"), newsletter("sea", "Férries", "Ports"), newsletter("b")]
    )
    assert await boxes.box("Transport", ["ferries"]) is None  # read a moment ago
    now[0] += REFRESH_SECONDS
    box = await boxes.box("Transport", ["ferries"])
    assert box is not None
    assert (box.newsletter.slug, box.chosen) == ("sea", frozenset({"Férries"}))
    by_category = await boxes.box("PORTS", [])
    assert by_category is not None
    assert by_category.chosen == {"Ports"}
    other = await boxes.box(None, ["Weather"])
    assert other is not None
    assert (other.newsletter.slug, other.chosen) == ("all", frozenset())
    await write_public_newsletters(redis, keys, [])
    assert await read_public_newsletters(redis, keys) == []


async def test_a_list_that_cannot_be_read_leaves_the_page_as_it_was(redis: Redis, namespace: str) -> None:
    keys, now = Keyspace(namespace), [0.0]
    boxes = NewsletterBoxes(redis, keys, lambda: now[0])
    await write_public_newsletters(redis, keys, [newsletter("all")])
    assert await boxes.box(None, []) is not None
    await redis.hset(keys.public_newsletters, "broken", "{")
    now[0] += REFRESH_SECONDS
    assert await boxes.box(None, []) is not None
