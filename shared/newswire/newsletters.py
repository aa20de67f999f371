"""The newsletters that take sign-ups, as the reader site shows them: notify writes the list, search reads it.

It is a copy that notify replaces after each change, so a reader of it needs nothing else.
"""

from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict
from redis.asyncio import Redis

from newswire.keys import Keyspace


class PublicNewsletter(BaseModel):
    """A newsletter as its box on a page shows it. Unknown members of a later release are kept."""

    model_config = ConfigDict(extra="allow")

    slug: str
    name: str
    description: str
    language: str
    """Of its name, its description and its topics."""
    text_language: str = "en"
    """Of the texts of its form."""
    topics: list[str] = []
    """The parts that readers can choose."""
    texts: dict[str, str] = {}
    """The texts of its form: ``email``, ``topics``, ``topics_hint``, ``subscribe``, ``consent``."""


async def write_public_newsletters(redis: "Redis", keys: Keyspace, newsletters: Iterable[PublicNewsletter]) -> None:
    """Replace the list in one step."""
    found = {each.slug: each.model_dump_json() for each in newsletters}
    async with redis.pipeline(transaction=True) as pipe:
        pipe.delete(keys.public_newsletters)
        if found:
            pipe.hset(keys.public_newsletters, mapping=found)
        await pipe.execute()


async def read_public_newsletters(redis: "Redis", keys: Keyspace) -> list[PublicNewsletter]:
    """Return the list, in the order of the names."""
    stored = await redis.hvals(keys.public_newsletters)
    return sorted(map(PublicNewsletter.model_validate_json, stored), key=lambda each: (each.name, each.slug))
