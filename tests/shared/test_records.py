"""Version documents are packed where they are stored, and read as they were written, from before and after."""

import json

from redis.asyncio import Redis

from newswire.keyspace import Keyspace
from newswire.records import pack, unpack, version_document

BODY = " ".join(f"<p>Paragraph {n} tells of the harbour, the ferry and the weather at sea.</p>" for n in range(60))
DOCUMENT = json.dumps({"id": "a", "title": "Ferry – naïve", "body": BODY, "text": BODY}, ensure_ascii=False).encode()


def test_a_packed_document_is_small_and_comes_back_byte_for_byte() -> None:
    assert len(pack(DOCUMENT)) < len(DOCUMENT) / 3
    for document in (DOCUMENT, b"{}", b"", b'"\xc3\xa9"'):
        assert unpack(pack(document)) == document


async def test_records_of_an_earlier_release_are_read_as_well(redis: Redis, namespace: str) -> None:
    keys = Keyspace(namespace)
    await redis.hset(keys.version("a", 1), "document", DOCUMENT)
    await redis.hset(keys.version("a", 2), "document", pack(DOCUMENT))
    assert [await version_document(redis, keys, "a", version) for version in (1, 2, 3)] == [DOCUMENT, DOCUMENT, None]
