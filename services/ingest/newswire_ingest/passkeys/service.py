"""What users do with passkeys: add, remove, sign in, prove who they are. Every change leaves one entry in the audit log."""

import asyncio
import hashlib
import logging
from collections.abc import Callable
from datetime import datetime
from importlib import import_module
from typing import TYPE_CHECKING

from redis.asyncio import Redis

from newswire.auth.signed_tokens import SignedTokens
from newswire.keys import Keyspace
from newswire.observability import audit
from newswire.observability.audit import Act, Actor
from newswire.timestamps import utc_now
from newswire.users.mail_requests import MailKind
from newswire.users.models import Session, StartedSession, UsableCredentials, User
from newswire.users.service import Client, UserService, actor_of
from newswire.users.sign_in_limits import SignInLimits
from newswire.validation.characters import label_violation
from newswire_ingest.passkeys.challenges import Ceremony, Challenges
from newswire_ingest.passkeys.models import (
    MAX_NAME_CHARS,
    InvalidNameError,
    Passkey,
    PasskeyError,
    PasskeyRefusedError,
    RelyingParty,
)
from newswire_ingest.passkeys.repository import Passkeys

if TYPE_CHECKING:
    from newswire_ingest.passkeys.ceremonies import Assertion

log = logging.getLogger(__name__)

_MAX_TRIES = 5
"""Of recording a use while other uses of the same passkey are recorded."""


class PasskeyService:
    """Commands on passkeys of one relying party."""

    def __init__(
        self,
        redis: "Redis",
        keys: Keyspace,
        users: UserService,
        tokens: SignedTokens,
        site: RelyingParty,
        clock: Callable[[], datetime] = utc_now,
        *,
        usable: UsableCredentials = UsableCredentials(passkeys=True),
    ) -> None:
        self.site = site
        self.passkeys = Passkeys(redis, keys)
        self._redis = redis
        self._keys = keys
        self._users = users
        self._usable = usable
        self._challenges = Challenges(redis, keys, tokens)
        self._limits = SignInLimits(redis, keys)
        self._clock = clock

    async def registration_options(self, user: User, session: Session) -> str:
        """Return what a browser asks an authenticator for a new passkey, as JSON."""
        await _load_ceremonies()
        from newswire_ingest.passkeys.ceremonies import registration_options

        challenge = await self._challenges.new(Ceremony.REGISTRATION, session.id)
        return registration_options(self.site, user, await self.passkeys.list(user.id), challenge)

    async def add(
        self, user: User, session: Session, sent: str, name: str, *, by: Actor, language: str | None = None
    ) -> Passkey:
        """Add the passkey that an authenticator made. The user is notified by mail.

        Raises:
            InvalidNameError: the name is empty, too long, or contains characters that names do not have.
            ChallengeExpiredError: the challenge has expired, was used, or belongs to another session.
            PasskeyRefusedError: the answer is not valid for this site.
            PasskeyTakenError: the user has it already.
            TooManyPasskeysError: the user has as many as are possible.
        """
        await _load_ceremonies()
        from newswire_ingest.passkeys.ceremonies import read_registration, verify_registration

        checked = _check_name(name)
        credential, challenge = read_registration(sent)
        await self._challenges.check(Ceremony.REGISTRATION, session.id, challenge)
        made = verify_registration(self.site, credential, challenge)
        await self._challenges.use(challenge)
        passkey = Passkey(
            made.id, checked, made.public_key, made.sign_count, self._clock(), None, made.synced, made.transports
        )
        await self.passkeys.add(user.id, passkey)
        await self._record(by, Act.USER_PASSKEY_ADDED, user.id, passkey, synced=passkey.synced)
        await self._users.mails.add(MailKind.PASSKEY_ADDED, user_id=user.id, language=language)
        return passkey

    async def remove(self, user: User, passkey_id: str, *, by: Actor, language: str | None = None) -> bool:
        """Remove a passkey, and notify the user by mail; return whether there was one.

        Raises:
            newswire.users.models.LastCredentialError: without it, the user could not sign in.
        """
        passkey = await self.passkeys.find(user.id, passkey_id)
        if passkey is None or not await self.passkeys.remove(user.id, passkey_id, self._usable):
            return False
        await self._record(by, Act.USER_PASSKEY_REMOVED, user.id, passkey)
        await self._users.mails.add(MailKind.PASSKEY_REMOVED, user_id=user.id, language=language)
        return True

    async def sign_in_options(self, browser: str) -> str:
        """Return what a browser asks for any passkey of this site, as JSON. ``browser``: its hashed token."""
        await _load_ceremonies()
        from newswire_ingest.passkeys.ceremonies import assertion_options

        return assertion_options(self.site, await self._challenges.new(Ceremony.SIGN_IN, browser))

    async def sign_in(self, sent: str, browser: str, client: Client) -> StartedSession:
        """Sign a user in.

        Raises:
            newswire.users.sign_in_limits.TooManyFailuresError: too many sign-ins failed from this network.
            ChallengeExpiredError: the challenge has expired, was used, or belongs to another browser.
            PasskeyRefusedError: there is no such passkey, or the answer is not valid, or the user is disabled.
        """
        await _load_ceremonies()
        from newswire_ingest.passkeys.ceremonies import read_assertion

        await self._limits.check(None, client.network)
        try:
            assertion = read_assertion(sent)
            await self._challenges.check(Ceremony.SIGN_IN, browser, assertion.challenge)
            user = await self._users.users.find(assertion.user_id)
            if user is None or user.disabled_at is not None:
                raise PasskeyRefusedError("there is no such user, or it is disabled")
            await self._verify(user, assertion, client)
        except PasskeyError as error:
            await self._failed(None, client, error)
            raise
        return await self._users.start_session(user, client, method="passkey")

    async def proof_options(self, user: User, session: Session) -> str:
        """Return what a browser asks for one of the passkeys of the user who is signed in, as JSON."""
        await _load_ceremonies()
        from newswire_ingest.passkeys.ceremonies import assertion_options

        challenge = await self._challenges.new(Ceremony.PROOF, session.id)
        return assertion_options(self.site, challenge, await self.passkeys.list(user.id))

    async def prove(self, session: Session, user: User, sent: str, client: Client) -> Session:
        """Let a signed-in user prove its identity again.

        Raises:
            newswire.users.sign_in_limits.TooManyFailuresError: too many attempts failed.
            ChallengeExpiredError: the challenge has expired, was used, or belongs to another session.
            PasskeyRefusedError: it is not a passkey of this user, or the answer is not valid.
        """
        await _load_ceremonies()
        from newswire_ingest.passkeys.ceremonies import read_assertion

        await self._limits.check(user.email, client.network)
        try:
            assertion = read_assertion(sent)
            await self._challenges.check(Ceremony.PROOF, session.id, assertion.challenge)
            if assertion.user_id not in ("", user.id):  # with a list of passkeys, authenticators may leave it out
                raise PasskeyRefusedError("it is a passkey of another user")
            await self._verify(user, assertion, client)
        except PasskeyError as error:
            await self._failed(user.email, client, error)
            raise
        return await self._users.sessions.confirm_identity(session)

    async def _verify(self, user: User, assertion: "Assertion", client: Client) -> None:
        """Check an answer whose challenge was made here, and record the use of the passkey."""
        await _load_ceremonies()
        from newswire_ingest.passkeys.ceremonies import verify_assertion

        passkey = await self.passkeys.find(user.id, assertion.passkey_id)
        if passkey is None:
            raise PasskeyRefusedError("the user has no such passkey")
        count = verify_assertion(self.site, assertion, passkey)
        await self._challenges.use(assertion.challenge)
        for _ in range(_MAX_TRIES):
            if max(count, passkey.sign_count) > 0 and count <= passkey.sign_count:
                details = {"sign_count": count, "sign_count_before": passkey.sign_count}
                await self._record(actor_of(user, client), Act.USER_PASSKEY_CLONED, user.id, passkey, **details)
                raise PasskeyRefusedError("the counter of the passkey went back: it may be a copy")
            if await self.passkeys.used(user.id, passkey, count, self._clock()):
                return
            passkey = await self.passkeys.find(user.id, passkey.id)  # it was used at the same time, or removed
            if passkey is None:
                break
        raise PasskeyRefusedError("the passkey was removed, or used many times at once")

    async def _failed(self, email: str | None, client: Client, error: PasskeyError) -> None:
        log.info("a passkey was refused", extra={"reason": str(error)[:200] or type(error).__name__})
        await self._limits.failed(email, client.network)

    async def _record(self, by: Actor, act: Act, user_id: str, passkey: Passkey, **details: object) -> None:
        fingerprint = hashlib.sha256(passkey.id.encode()).hexdigest()[:16]
        await audit.record(
            self._redis, self._keys, by, act, "user", user_id, passkey=fingerprint, name=passkey.name, **details
        )


async def _load_ceremonies() -> None:
    """Import the library of passkeys on its first use, in a thread: a sixth of all that ingest imports is for it alone."""
    await asyncio.to_thread(import_module, "newswire_ingest.passkeys.ceremonies")


def _check_name(name: str) -> str:
    trimmed = name.strip()
    if not trimmed or len(trimmed) > MAX_NAME_CHARS or label_violation(trimmed):
        raise InvalidNameError(f"a name has 1 to {MAX_NAME_CHARS} characters, without control characters")
    return trimmed
