"""Whose account changed: what was let in by its old standing has to be looked at again."""

from redis.asyncio import Redis

from newswire.accounts import changes_names
from newswire.keyspace import Keyspace

PAGE = 1000


class AccountChanges:
    """Follows who may read something else now: entitled otherwise, disabled or enabled, or a key rotated or revoked.

    One reader's place; whoever keeps something by the standing of accounts makes one before it reads them.
    """

    def __init__(self, redis: "Redis", keys: Keyspace) -> None:
        self._redis = redis
        self._changes, self._counter = changes_names(keys)
        self._count = -1
        self._after = "0-0"

    async def read(self, block_ms: int | None = None) -> set[str] | None:
        """Return the names of the accounts that changed since the last call; None: any may have, some news was missed.

        So says the first call. With ``block_ms``, wait so long for something to come.
        """
        if block_ms is not None and self._count >= 0:
            await self._redis.xread({self._changes: self._after}, count=1, block=block_ms)
        if self._count < 0:
            await self._begin()
            return None
        changed: set[str] = set()
        while True:
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.xread({self._changes: self._after}, count=PAGE)
                pipe.get(self._counter)
                answer, counter = await pipe.execute()
            entries = [entry for _, found in answer or () for entry in found]
            for entry_id, fields in entries:
                if int(fields[b"count"]) != self._count + 1:  # some were trimmed, or the server was emptied
                    await self._begin()
                    return None
                self._count += 1
                self._after = entry_id.decode()
                changed.add(fields[b"account"].decode())
            if self._count == int(counter or 0):
                return changed
            if len(entries) < PAGE:
                await self._begin()
                return None

    async def _begin(self) -> None:
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.xrevrange(self._changes, count=1)
            pipe.get(self._counter)
            newest, counter = await pipe.execute()
        self._after = newest[0][0].decode() if newest else "0-0"
        self._count = int(counter or 0)
