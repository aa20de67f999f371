"""Notifies of changes to accounts and keys, after which authorisations have to be checked again."""

from redis.asyncio import Redis

from newswire.auth.credentials import account_change_keys
from newswire.keys import Keyspace
from newswire.messaging.change_feed import ChangeFeed


class AccountChanges:
    """Follows changes of access: entitlements, disabled and enabled accounts, rotated and revoked keys.

    It holds the position of one reader. Code that caches the access of accounts creates one before it reads them.
    """

    def __init__(self, redis: "Redis", keys: Keyspace) -> None:
        self._changes = ChangeFeed(redis, *account_change_keys(keys))

    async def read(self, block_ms: int | None = None) -> set[str] | None:
        """Return the accounts that changed since the last call; None if changes were missed, so any may have changed.

        The first call returns None. ``block_ms`` is the maximum time to wait for a change.
        """
        if block_ms is not None and not await self._changes.wait(block_ms):
            return set()
        news = await self._changes.read()
        if news is None:
            self._changes.advance_to(await self._changes.latest())
            return None
        changed, position = news
        self._changes.advance_to(position)
        return {fields[b"account"].decode() for fields in changed}
