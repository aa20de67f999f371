"""The address that reports about a mail go to. Only this installation can make one, so that forged reports change nothing."""

import hmac
import re

from newswire_notify.newsletters.addresses import AddressHashes

_LOCAL_PART = re.compile(r"b\+(sr_[0-9a-z]{26})\.([0-9a-f]{24})", re.IGNORECASE)
"""Shorter than the 64 characters of a local part, and the same in capitals."""


class ReturnPaths:
    """Makes and reads the return paths of mails, at one domain."""

    def __init__(self, hashes: AddressHashes, domain: str) -> None:
        self._hashes = hashes
        self.domain = domain.lower()

    async def address(self, subscriber: str) -> str:
        """Return the return path of mails to a subscriber."""
        return f"b+{subscriber}.{await self._hashes.signature(subscriber)}@{self.domain}"

    async def subscriber_of(self, address: str) -> str | None:
        """Return the subscriber that a return path was made for; None for what was not made here."""
        local, _, domain = address.strip().strip("<>").rpartition("@")
        found = _LOCAL_PART.fullmatch(local)
        if found is None or domain.lower() != self.domain:
            return None
        subscriber, signature = found[1].lower(), found[2].lower()
        genuine = hmac.compare_digest(signature, await self._hashes.signature(subscriber))
        return subscriber if genuine else None
