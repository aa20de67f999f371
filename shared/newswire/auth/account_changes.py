"""Whose account changed: what was let in by its old standing has to be looked at again."""

from redis.asyncio import Redis

from newswire.auth.credentials import account_change_keys
from newswire.keys import Keyspace
from newswire.messaging.change_feed import ChangeFeed


class AccountChanges:
    """Follows who may read something else now: entitled otherwise, disabled or enabled, or a key rotated or revoked.

    One reader's place; whoever keeps something by the standing of accounts makes one before it reads them.
    """

    def __init__(self, redis: "Redis", keys: Keyspace) -> None:
        self._changes = ChangeFeed(redis, *account_change_keys(keys))

    async def read(self, block_ms: int | None = None) -> set[str] | None:
        """Return the names of the accounts that changed since the last call; None: any may have, some news was missed.

        So says the first call. With ``block_ms``, wait so long for something to come.
        """
        if block_ms is not None:
            await self._changes.wait(block_ms)
        news = await self._changes.read()
        if news is None:
            self._changes.advance_to(await self._changes.latest())
            return None
        changed, position = news
        self._changes.advance_to(position)
        return {fields[b"account"].decode() for fields in changed}
