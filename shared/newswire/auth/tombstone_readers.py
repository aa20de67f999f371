"""Decides which restricted readers may see a retraction: those who could read the article.

An entitlement by query or metadata cannot be evaluated on a tombstone, because the text is erased. The step that erases a version
therefore stores the digests of the entitlements that matched it (field ``entitled:{version}`` of the article's state).
"""

import asyncio
from collections.abc import Sequence

from redis.asyncio import Redis

from newswire.auth.credentials import read_entitlement
from newswire.events import ArticlePublished
from newswire.filters import ArticleFeatures, Filter
from newswire.keys import Keyspace
from newswire.storage.article_records import unpack, unresolved_documents
from newswire.storage.document_archive import NO_ARCHIVE, DocumentArchive, DocumentUnavailableError

PAGE = 1000
MAX_VERSIONS = 50
"""Only the newest versions of an article are matched with entitlements when it is retracted."""


def readers_field(version: int) -> str:
    """Return the field of an article state that lists the entitlements which could read the article up to a retracted version."""
    return f"entitled:{version}"


def digest_of(entitlement: Filter) -> str:
    """Return the digest that identifies an entitlement."""
    return entitlement.digest()[:32]


async def matching_entitlements(
    redis: "Redis", keys: Keyspace, article_id: str, version: int, archive: DocumentArchive = NO_ARCHIVE
) -> str:
    """Return the digests of all accounts' entitlements that match a version of an article, separated by spaces.

    A retraction must not wait for the archive: if that does not return a version now, all entitlements count as matching. A reader
    who could not read the article learns that one with this id was retracted; a reader who could must not keep the text.
    """
    entitlements = await _entitlements(redis, keys)
    if not entitlements:
        return ""
    numbers = [(article_id, number) for number in range(max(1, version - MAX_VERSIONS + 1), version + 1)]
    found = await archive.resolve_each(numbers, await unresolved_documents(redis, keys, numbers))
    if any(isinstance(each, DocumentUnavailableError) for each in found):
        return " ".join(sorted({digest_of(each) for each in entitlements}))
    return await asyncio.to_thread(_matching, entitlements, [unpack(each) for each in found if isinstance(each, bytes)])


async def read_readers(redis: "Redis", keys: Keyspace, retracted: Sequence[tuple[str, int]]) -> list[frozenset[str]]:
    """Return, for each retracted article and version, the digests of the entitlements that could read it."""
    async with redis.pipeline(transaction=False) as pipe:
        for article_id, version in retracted:
            pipe.hget(keys.article(article_id), readers_field(version))
        found = await pipe.execute()
    return [frozenset((noted or b"").decode().split()) for noted in found]


def may_see_tombstone(entitlement: Filter | None, tombstone: ArticleFeatures, readers: frozenset[str]) -> bool:
    """Return whether a reader may see a retraction; False if it can no longer be decided."""
    if entitlement is None or digest_of(entitlement) in readers:
        return True
    if entitlement.query is not None or entitlement.metadata:
        return False
    return entitlement.matches(tombstone, text=False)


async def _entitlements(redis: "Redis", keys: Keyspace) -> list[Filter]:
    found: dict[str, Filter] = {}
    after = "-"
    while names := await redis.zrangebylex(keys.key("accounts"), after, "+", 0, PAGE):
        async with redis.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.hget(keys.key("account", name.decode()), "entitlement")
            stored = await pipe.execute()
        found |= {each.decode(): read_entitlement(each.decode()) for each in stored if each}
        after = f"({names[-1].decode()}"
    return list(found.values())


def _matching(entitlements: Sequence[Filter], documents: Sequence[bytes]) -> str:
    versions = [ArticleFeatures.of(ArticlePublished.model_validate_json(document)) for document in documents]
    matching = [each for each in entitlements if any(each.matches(version) for version in versions)]
    return " ".join(sorted({digest_of(each) for each in matching}))
