"""Signing in with a provider: begins attempts, and decides which user came back.

Who is who is decided by issuer and subject. An address is looked at once, to find the user who is to be linked, and only if the
provider says that it belongs to the person.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from redis.asyncio import Redis

from newswire.keys import Keyspace
from newswire.observability import audit
from newswire.observability.audit import SYSTEM, Act, Actor
from newswire.timestamps import utc_now
from newswire.users.models import EmailTakenError, InvalidUserError, Session, StartedSession, User
from newswire.users.names import MAX_NAME_CHARS, check_email, check_name
from newswire.users.roles import Role
from newswire.users.service import Client, UserService, actor_of
from newswire_ingest.openid.attempts import Aim, Attempt, Attempts
from newswire_ingest.openid.client import Answer, OpenIdClient, Person
from newswire_ingest.openid.errors import (
    AttemptEndedError,
    OtherIdentityError,
    UnknownPersonError,
    UnverifiedEmailError,
)
from newswire_ingest.openid.providers import OpenIdProvider
from newswire_ingest.openid.repository import Identities

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Finished:
    """A successful attempt: a new session, or None if the session of the user has its identity proven again."""

    started: StartedSession | None
    following: str


class OpenIdService:
    """Sign-ins with the providers of an installation."""

    def __init__(
        self,
        redis: "Redis",
        keys: Keyspace,
        users: UserService,
        clients: Mapping[str, OpenIdClient],
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self.clients = clients
        self.identities = Identities(redis, keys)
        self._redis = redis
        self._keys = keys
        self._users = users
        self._attempts = Attempts(redis, keys)
        self._clock = clock

    @property
    def providers(self) -> list[OpenIdProvider]:
        """The providers, in the order of the setting."""
        return [each.provider for each in self.clients.values()]

    async def begin(
        self, provider: str, holder: str, following: str, client: Client, *, user: User | None = None
    ) -> str:
        """Return the address to send a person to. ``user``: who is signed in, and proves its identity again.

        Raises:
            TooManyAttemptsError: too many sign-ins were begun from this network.
            ProviderUnavailableError: the provider cannot be reached.
        """
        aim, begun = Aim.PROOF if user else Aim.SIGN_IN, int(self._clock().timestamp())
        state, attempt = await self._attempts.begin(provider, holder, aim, following, begun, client.network)
        return await self.clients[provider].authorization_address(state, attempt, user.email if user else "")

    async def finish(
        self, provider: str, answer: Answer, browser: str, client: Client, signed_in: tuple[Session, User] | None
    ) -> Finished:
        """Sign in who came back from a provider, or record that a user proved its identity again.

        Raises:
            newswire_ingest.openid.errors.OpenIdError: the subclass says why not.
        """
        attempt = await self._attempts.use(provider, answer.state)
        if attempt.holder != (browser if attempt.aim is Aim.SIGN_IN else signed_in[0].id if signed_in else ""):
            raise AttemptEndedError
        person = await self.clients[provider].person(answer, attempt)
        if attempt.aim is Aim.PROOF and signed_in is not None:
            return await self._prove(person, attempt, *signed_in)
        user = await self._user_of(person, self.clients[provider].provider, client)
        if user.disabled_at is not None:
            raise UnknownPersonError("the user is disabled")
        return Finished(await self._users.start_session(user, client, method="openid"), attempt.following)

    async def unlink(self, user: User, issuer: str, *, by: Actor) -> bool:
        """Remove the link of a user to a person of a provider; return whether there was one.

        Raises:
            newswire_ingest.passkeys.models.LastCredentialError: without it, the user could not sign in.
        """
        removed = await self.identities.unlink(user.id, issuer)
        if removed:
            await audit.record(self._redis, self._keys, by, Act.USER_IDENTITY_UNLINKED, "user", user.id, issuer=issuer)
        return removed

    async def _prove(self, person: Person, attempt: Attempt, session: Session, user: User) -> Finished:
        if await self.identities.find_user(person.issuer, person.subject) != user.id:
            raise OtherIdentityError("another person proved its identity")
        await self._users.sessions.confirm_identity(session)
        return Finished(None, attempt.following)

    async def _user_of(self, person: Person, provider: OpenIdProvider, client: Client) -> User:
        """Return the user who is a person: the linked one, else the one with its address, else a new one."""
        linked = await self.identities.find_user(person.issuer, person.subject)
        if linked is not None:
            user = await self._users.users.find(linked)
            if user is None:
                raise UnknownPersonError("the user was deleted")
            return user
        email = _accepted_email(person, provider)
        user = await self._users.users.find_by_email(email)
        if user is None:
            user = await self._create(person, email, provider)
        elif user.disabled_at is not None:
            raise UnknownPersonError("the user is disabled")
        await self.identities.link(user, person.issuer, person.subject, self._clock())
        details = {"issuer": person.issuer, "subject": person.subject}
        by = actor_of(user, client)
        await audit.record(self._redis, self._keys, by, Act.USER_IDENTITY_LINKED, "user", user.id, **details)
        return user

    async def _create(self, person: Person, email: str, provider: OpenIdProvider) -> User:
        memberships = _memberships(person, email, provider)
        if not memberships:
            raise UnknownPersonError("nobody with this address is a user, and no rule makes the person one")
        try:
            return await self._users.create(email, _name(person, email), memberships, by=SYSTEM)
        except EmailTakenError:  # by another sign-in of the same person, at the same time
            raise AttemptEndedError from None
        except InvalidUserError as error:
            log.warning("a user could not be created at its first sign-in", extra={"reason": str(error)})
            raise UnknownPersonError("the rule that makes the person a user cannot be followed") from None


def _accepted_email(person: Person, provider: OpenIdProvider) -> str:
    if person.email is None:
        raise UnverifiedEmailError("the provider does not say that the address belongs to the person")
    try:
        email = check_email(person.email)
    except InvalidUserError:
        raise UnverifiedEmailError("the provider names no valid address") from None
    if provider.domains and _domain(email) not in provider.domains:
        raise UnknownPersonError("the domain of the address is not accepted")
    return email


def _memberships(person: Person, email: str, provider: OpenIdProvider) -> dict[str, frozenset[Role]]:
    """Return the accounts and roles that the rules give to a person; rules that match add up."""
    found: dict[str, frozenset[Role]] = {}
    for rule in provider.create:
        if rule.domain == _domain(email) if rule.domain else rule.group in person.groups:
            found[rule.account] = found.get(rule.account, frozenset()) | frozenset(rule.roles)
    return found


def _domain(email: str) -> str:
    return email.rpartition("@")[2].lower()


def _name(person: Person, email: str) -> str:
    """Return the name that a provider gives, if it is one that users can have; else the beginning of the address."""
    try:
        return check_name(person.name)
    except InvalidUserError:
        return email.partition("@")[0][:MAX_NAME_CHARS]
