"""Sign-ins that were begun at a provider: bound to one browser, for ten minutes, and used once."""

import hashlib
import secrets
from dataclasses import asdict, dataclass
from datetime import timedelta
from enum import StrEnum

import orjson
from redis.asyncio import Redis

from newswire.keys import Keyspace
from newswire.users.sign_in_limits import FailureLimit, count_attempts
from newswire_ingest.openid.errors import AttemptEndedError, TooManyAttemptsError

LIFETIME = timedelta(minutes=10)
PER_NETWORK = FailureLimit(300, 15 * 60)


class Aim(StrEnum):
    """What an attempt is for."""

    SIGN_IN = "sign-in"
    PROOF = "proof"
    """A user who is signed in proves its identity again."""
    LINK = "link"
    """A user who is signed in links a person of the provider."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """What is known of a sign-in while the person is at the provider. ``holder``: the browser; of a proof or link, the session."""

    provider: str
    holder: str
    aim: Aim
    following: str
    """The path to go to afterwards; may be empty."""
    begun: int
    """In seconds since the epoch."""
    nonce: str
    verifier: str
    """The secret of PKCE."""


class Attempts:
    """Keeps attempts. Their ``state`` has 256 random bits, of which only the hash is stored."""

    def __init__(self, redis: "Redis", keys: Keyspace) -> None:
        self._redis = redis
        self._keys = keys

    async def begin(
        self, provider: str, holder: str, aim: Aim, following: str, begun: int, network: str
    ) -> tuple[str, Attempt]:
        """Return the state of a new attempt, and the attempt.

        Raises:
            TooManyAttemptsError: too many were begun from this network.
        """
        if seconds := await count_attempts(self._redis, self._keys, network, PER_NETWORK):
            raise TooManyAttemptsError(seconds)
        attempt = Attempt(provider, holder, aim, following, begun, secrets.token_urlsafe(32), secrets.token_urlsafe(48))
        state = secrets.token_urlsafe(32)
        await self._redis.set(self._name(state), orjson.dumps(asdict(attempt)), px=LIFETIME)
        return state, attempt

    async def use(self, provider: str, state: str) -> Attempt:
        """Use an attempt up and return it; comparing its holder is up to the caller.

        Raises:
            AttemptEndedError: it is unknown, has expired, was used, or is of another provider.
        """
        stored = await self._redis.getdel(self._name(state)) if 0 < len(state) < 100 else None
        if stored is None:
            raise AttemptEndedError
        content = orjson.loads(stored)
        attempt = Attempt(**content | {"aim": Aim(content["aim"])})
        if attempt.provider != provider:
            raise AttemptEndedError
        return attempt

    def _name(self, state: str) -> str:
        return self._keys.key("sign-in-attempt", hashlib.sha256(state.encode()).hexdigest())
