"""Challenges for authenticators: random, signed, bound to a browser or session, short-lived, and accepted once.

A challenge is a signed token, so that nothing is stored when a sign-in page is opened; only a challenge that was answered
rightly leaves a key, until the challenge would have expired.
"""

import hashlib
import secrets
from datetime import timedelta
from enum import StrEnum

from redis.asyncio import Redis

from newswire.auth.signed_tokens import InvalidTokenError, Purpose, SignedTokens
from newswire.keys import Keyspace
from newswire_ingest.passkeys.models import ChallengeExpiredError

LIFETIME = timedelta(minutes=10)


class Ceremony(StrEnum):
    """What a challenge is for; it is worthless for every other ceremony."""

    REGISTRATION = "registration"
    SIGN_IN = "sign-in"
    PROOF = "proof"


class Challenges:
    """Makes challenges, and accepts each once."""

    def __init__(self, redis: "Redis", keys: Keyspace, tokens: SignedTokens) -> None:
        self._redis = redis
        self._keys = keys
        self._tokens = tokens

    async def new(self, ceremony: Ceremony, holder: str) -> bytes:
        """Return a challenge. ``holder``: the browser or session that alone can answer it."""
        token = await self._tokens.write(
            Purpose.PASSKEY_CHALLENGE,
            secrets.token_bytes(16),
            bound_to=[ceremony, holder],
            lifetime=LIFETIME.total_seconds(),
        )
        return token.encode()

    async def check(self, ceremony: Ceremony, holder: str, challenge: bytes) -> None:
        """Check that a challenge was made here, for this ceremony and holder, and has not expired.

        Raises:
            ChallengeExpiredError: it was not, or has.
        """
        try:
            await self._tokens.read(
                Purpose.PASSKEY_CHALLENGE, challenge.decode("ascii", "replace"), bound_to=[ceremony, holder]
            )
        except InvalidTokenError:
            raise ChallengeExpiredError from None

    async def use(self, challenge: bytes) -> None:
        """Use a checked challenge up.

        Raises:
            ChallengeExpiredError: it was used before.
        """
        name = self._keys.key("passkey-challenge", hashlib.sha256(challenge).hexdigest())
        if not await self._redis.set(name, b"1", nx=True, px=LIFETIME):
            raise ChallengeExpiredError
