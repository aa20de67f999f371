"""The size of Elasticsearch's indexes."""

from elasticsearch import AsyncElasticsearch


async def index_bytes(client: AsyncElasticsearch, indexes: str) -> int:
    """Return the bytes of all segments on disk; the index statistics would be up to ten seconds old."""
    await client.indices.flush(index=indexes)
    found = (await client.indices.segments(index=indexes))["indices"].values()
    shards = [shard for index in found for copies in index["shards"].values() for shard in copies]
    return sum(
        segment["size_in_bytes"]
        for shard in shards
        if shard["routing"]["primary"]
        for segment in shard["segments"].values()
    )
