"""Hashes of readers' e-mail addresses, made with a secret, for where only the hash may be kept."""

import hashlib
import hmac
import secrets

from redis.asyncio import Redis

from newswire_notify.newsletters.keys import NewsletterKeys


class AddressHashes:
    """Hashes addresses with a secret of the installation, so that the hash alone tells nothing about the address.

    Addresses that differ in case alone are equal.
    """

    def __init__(self, redis: "Redis", keys: NewsletterKeys) -> None:
        self._redis = redis
        self._name = keys.key("newsletter_pepper")
        self._pepper: bytes | None = None

    async def of(self, address: str) -> str:
        """Return the hash of a checked address."""
        return hmac.digest(await self._secret(), address.lower().encode(), hashlib.sha256).hex()[:40]

    async def signature(self, subscriber: str) -> str:
        """Return the signature of a subscriber's id in the return path of its mails."""
        return hmac.digest(await self._secret(), f"return path {subscriber}".encode(), hashlib.sha256).hex()[:24]

    async def _secret(self) -> bytes:
        if self._pepper is None:
            self._pepper = await self._stored()
        return self._pepper

    async def _stored(self) -> bytes:
        await self._redis.set(self._name, secrets.token_hex(32), nx=True)
        found: bytes = await self._redis.get(self._name)
        return found
