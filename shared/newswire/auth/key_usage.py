"""The last use of each key, written in the background so that requests do not wait for it."""

import asyncio
import logging
import time

from redis.asyncio import Redis
from redis.exceptions import RedisError

from newswire.auth.credentials import account_functions, key_record
from newswire.concurrency.backoff import pause
from newswire.keys import Keyspace
from newswire.storage.redis_functions import Call

log = logging.getLogger(__name__)

MIN_RECORD_INTERVAL_SECONDS = 60.0
WRITE_INTERVAL_SECONDS = 1.0
MAX_RECENT_KEYS = 10_000


class KeyUsageRecorder:
    """Records the use of keys: each key at most once a minute, over all processes."""

    def __init__(self, redis: "Redis", keys: Keyspace) -> None:
        self._keys = keys
        self._functions = account_functions(redis, keys)
        self._noted: dict[str, float] = {}
        self._waiting: dict[str, int] = {}  # key → when it was used, in ms

    def record(self, key_id: str) -> None:
        """Record that a valid key is used now."""
        now = time.monotonic()
        if now - self._noted.get(key_id, -MIN_RECORD_INTERVAL_SECONDS) < MIN_RECORD_INTERVAL_SECONDS:
            return
        if len(self._noted) >= MAX_RECENT_KEYS:
            self._noted.clear()
        self._noted[key_id] = now
        self._waiting[key_id] = int(time.time() * 1000)

    async def run(self, stopping: asyncio.Event) -> None:
        """Write the recorded uses once a second, and the rest when stopping is set."""
        stopped = False
        while not stopped:
            stopped = await pause(stopping, WRITE_INTERVAL_SECONDS)
            try:
                await self._write()
            except (RedisError, OSError) as error:
                log.warning(
                    "could not record the last use of keys; will retry",
                    extra={"keys": len(self._waiting), "reason": str(error)},
                )

    async def _write(self) -> None:
        writing = dict(self._waiting)
        if not writing:
            return
        interval = int(MIN_RECORD_INTERVAL_SECONDS * 1000)
        calls = [
            Call("record_key_usage", [key_record(self._keys, key_id)], {"now": used, "interval": interval})
            for key_id, used in writing.items()
        ]
        for answer in await self._functions.call_all(calls):
            if isinstance(answer, Exception):
                raise answer
        self._waiting = {key_id: used for key_id, used in self._waiting.items() if writing.get(key_id) != used}
