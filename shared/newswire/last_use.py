"""When each key was last used: written beside the requests, never in their way."""

import asyncio
import logging
import time

from redis.asyncio import Redis
from redis.exceptions import RedisError

from newswire.accounts import account_functions, record_name
from newswire.keyspace import Keyspace

log = logging.getLogger(__name__)

SECONDS_BETWEEN_NOTES = 60.0
_MOST_KNOWN = 10_000


class LastUses:
    """Notes the use of keys, of each at most once a minute among all processes."""

    def __init__(self, redis: "Redis", keys: Keyspace) -> None:
        self._redis = redis
        self._keys = keys
        self._functions = account_functions(redis, keys)
        self._noted: dict[str, float] = {}
        self._writing: set[asyncio.Task[None]] = set()

    def note(self, key_id: str) -> None:
        """Have it written down that a valid key is being used now."""
        now = time.monotonic()
        if now - self._noted.get(key_id, -SECONDS_BETWEEN_NOTES) < SECONDS_BETWEEN_NOTES:
            return
        if len(self._noted) >= _MOST_KNOWN:
            self._noted.clear()
        self._noted[key_id] = now
        task = asyncio.create_task(self._write(key_id))
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    async def _write(self, key_id: str) -> None:
        try:
            await self._functions.call(
                "touch",
                [record_name(self._keys, key_id)],
                [int(time.time() * 1000), int(SECONDS_BETWEEN_NOTES * 1000)],
            )
        except (RedisError, OSError) as error:
            log.warning("the use of a key was not noted", extra={"key": key_id, "reason": str(error)})
