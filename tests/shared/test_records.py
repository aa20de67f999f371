"""Version documents are compressed in storage, and can be read unchanged, also from earlier releases."""

import json
import random
from concurrent.futures import ThreadPoolExecutor

from redis.asyncio import Redis

from newswire.keys import Keyspace
from newswire.storage.article_records import article_pages, pack, stored_title, unpack, unpacked_size, version_document

BODY = " ".join(f"<p>Paragraph {n} tells of the harbour, the ferry and the weather at sea.</p>" for n in range(60))
DOCUMENT = json.dumps({"id": "a", "title": "Ferry – naïve", "body": BODY, "text": BODY}, ensure_ascii=False).encode()


def test_a_packed_document_is_small_and_comes_back_byte_for_byte() -> None:
    assert len(pack(DOCUMENT)) < len(DOCUMENT) / 3
    for document in (DOCUMENT, b"{}", b"", b'"\xc3\xa9"'):
        assert unpack(pack(document)) == document


def test_the_size_of_a_packed_document_is_known_without_unpacking_it() -> None:
    for document in (DOCUMENT, b"", b'"\xc3\xa9"', b'"' + b"a" * 1_000_000 + b'"'):
        assert unpacked_size(pack(document)) == unpacked_size(document) == len(document)


def test_the_title_of_a_long_document_is_read_from_its_beginning() -> None:
    long = json.dumps({"id": "a", "title": 'Ferry "Île" \\', "body": "title " * 1_000_000}).encode()
    for document in (long, pack(long)):
        assert stored_title(document) == 'Ferry "Île" \\'
    assert stored_title(pack(b"{}")) == ""


def test_threads_pack_and_unpack_at_the_same_time() -> None:
    documents = [random.Random(seed).randbytes(1_000_000).hex().encode() for seed in range(4)]

    def again(document: bytes) -> bool:
        return all(unpack(pack(document)) == document for _ in range(10))

    with ThreadPoolExecutor(len(documents)) as threads:
        assert all(threads.map(again, documents))


async def test_records_of_earlier_releases_can_be_read(redis: Redis, namespace: str) -> None:
    keys = Keyspace(namespace)
    await redis.hset(keys.version("a", 1), "document", DOCUMENT)
    await redis.hset(keys.version("a", 2), "document", pack(DOCUMENT))
    assert [await version_document(redis, keys, "a", version) for version in (1, 2, 3)] == [DOCUMENT, DOCUMENT, None]


async def test_iterating_over_all_articles_ends_while_new_ones_are_added(redis: Redis, namespace: str) -> None:
    keys = Keyspace(namespace)
    there = [f"a{number}" for number in range(10)]
    await redis.zadd(keys.articles, {article_id: number for number, article_id in enumerate(there)})
    seen: list[str] = []
    async for ids, _ in article_pages(redis, keys, 4):
        seen += ids
        await redis.zadd(keys.articles, {f"b{len(seen)}": 100 + len(seen)})
        assert len(seen) < 50
    assert seen[:10] == there
