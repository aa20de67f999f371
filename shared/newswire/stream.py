"""Where a stream stands."""

from redis.asyncio import Redis
from redis.exceptions import ResponseError


async def newest_entry(redis: "Redis", stream: str) -> str:
    """Return the id of the newest entry that a stream ever had, deleted ones too; ``0-0`` where there is no stream."""
    try:
        about = await redis.xinfo_stream(stream)
    except ResponseError as error:
        if "no such key" not in str(error):
            raise
        return "0-0"
    newest: bytes = about["last-generated-id"]
    return newest.decode()
