"""Signing in with a provider: begins attempts, decides which user came back, links and unlinks, and signs out.

Who is who is decided by issuer and subject. An address is looked at once, to find the user who is to be linked, and only if the
provider says that it belongs to the person.
"""

import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from redis.asyncio import Redis

from newswire.keys import Keyspace
from newswire.observability import audit
from newswire.observability.audit import SYSTEM, Act, Actor
from newswire.timestamps import utc_now
from newswire.users.mail_requests import MailKind
from newswire.users.models import (
    EmailTakenError,
    InvalidUserError,
    ProviderSession,
    Session,
    StartedSession,
    UsableCredentials,
    User,
)
from newswire.users.names import MAX_NAME_CHARS, check_email, check_name
from newswire.users.roles import Role
from newswire.users.service import Client, UserService, actor_of
from newswire_ingest.openid.attempts import Aim, Attempt, Attempts
from newswire_ingest.openid.errors import (
    AttemptEndedError,
    IdentityTakenError,
    OtherIdentityError,
    ProviderUnavailableError,
    UnknownPersonError,
    UnverifiedEmailError,
)
from newswire_ingest.openid.models import Answer, Person
from newswire_ingest.openid.providers import OpenIdProvider
from newswire_ingest.openid.repository import Identities

if TYPE_CHECKING:
    from newswire_ingest.openid.client import OpenIdClient

log = logging.getLogger(__name__)


class OpenIdService:
    """Sign-ins with the providers of an installation."""

    def __init__(
        self,
        redis: "Redis",
        keys: Keyspace,
        users: UserService,
        clients: "Mapping[str, OpenIdClient]",
        usable: UsableCredentials,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self.clients = clients
        self.identities = Identities(redis, keys)
        self._redis = redis
        self._keys = keys
        self._users = users
        self._usable = usable
        self._attempts = Attempts(redis, keys)
        self._clock = clock

    @property
    def providers(self) -> list[OpenIdProvider]:
        """The providers, in the order of the setting."""
        return [each.provider for each in self.clients.values()]

    async def begin(
        self, provider: str, aim: Aim, holder: str, following: str, client: Client, *, login_hint: str = ""
    ) -> str:
        """Return the address to send a person to. ``holder``: the browser, or, of a user who is signed in, the session.

        Raises:
            TooManyAttemptsError: too many sign-ins were begun from this network.
            ProviderUnavailableError: the provider cannot be reached.
        """
        begun = int(self._clock().timestamp())
        state, attempt = await self._attempts.begin(provider, holder, aim, following, begun, client.network)
        return await self.clients[provider].authorization_address(state, attempt, login_hint)

    async def resume(self, provider: str, state: str, browser: str, session: Session | None) -> Attempt:
        """Use up the attempt of a person who came back from a provider, and return it.

        Raises:
            AttemptEndedError: there is none, or another browser or session began it.
        """
        attempt = await self._attempts.use(provider, state)
        if attempt.holder != (browser if attempt.aim is Aim.SIGN_IN else session.id if session else ""):
            raise AttemptEndedError
        return attempt

    async def sign_in(
        self, attempt: Attempt, answer: Answer, client: Client, *, language: str | None = None
    ) -> StartedSession:
        """Sign in who came back from a provider.

        Raises:
            newswire_ingest.openid.errors.OpenIdError: the subclass says why not.
        """
        person = await self.clients[attempt.provider].person(answer, attempt)
        user = await self._user_of(person, self.clients[attempt.provider].provider, client, language)
        if user.disabled_at is not None:
            raise UnknownPersonError("the user is disabled")
        at_provider = ProviderSession(attempt.provider, person.id_token)
        return await self._users.start_session(user, client, method="openid", at_provider=at_provider)

    async def prove(self, attempt: Attempt, answer: Answer, session: Session, user: User) -> None:
        """Record that a user who came back from a provider proved its identity again.

        Raises:
            newswire_ingest.openid.errors.OpenIdError: the subclass says why not.
        """
        person = await self.clients[attempt.provider].person(answer, attempt)
        if await self.identities.find_user(person.issuer, person.subject) != user.id:
            raise OtherIdentityError("another person proved its identity")
        await self._users.sessions.confirm_identity(session)

    async def link(
        self, attempt: Attempt, answer: Answer, user: User, *, by: Actor, language: str | None = None
    ) -> None:
        """Link the person who came back from a provider to the user who is signed in, whatever its address is.

        Raises:
            IdentityTakenError: the person is linked to another user, or the user to another person of the provider.
            newswire_ingest.openid.errors.OpenIdError: the subclass says why not.
        """
        client = self.clients[attempt.provider]
        person = await client.person(answer, attempt)
        if client.provider.domains:
            _accepted_email(person, client.provider)
        try:
            is_new = await self._link(person, user, by=by)
        except OtherIdentityError as error:
            raise IdentityTakenError(str(error)) from None
        if is_new:
            await self._users.mails.add(MailKind.IDENTITY_LINKED, user_id=user.id, language=language)

    async def unlink(self, user: User, issuer: str, *, by: Actor, language: str | None = None) -> bool:
        """Remove the link of a user to a person of a provider, and notify the user by mail; return whether there was one.

        Raises:
            newswire.users.models.LastCredentialError: without it, the user could not sign in.
        """
        removed = await self.identities.unlink(user.id, issuer, self._usable)
        if removed:
            await audit.record(self._redis, self._keys, by, Act.USER_IDENTITY_UNLINKED, "user", user.id, issuer=issuer)
            await self._users.mails.add(MailKind.IDENTITY_UNLINKED, user_id=user.id, language=language)
        return removed

    async def sign_out_address(self, at_provider: ProviderSession | None) -> str | None:
        """Return where a browser ends the session at a provider; None if there is none to end, or the provider is not available."""
        client = self.clients.get(at_provider.provider) if at_provider else None
        if at_provider is None or client is None:
            return None
        try:
            return await client.sign_out_address(at_provider.id_token)
        except ProviderUnavailableError as error:
            log.warning(
                "a session at a provider was not ended",
                extra={"provider": at_provider.provider, "reason": str(error)[:300]},
            )
            return None

    async def _link(self, person: Person, user: User, *, by: Actor) -> bool:
        """Link a person to a user; return whether they were not linked yet."""
        is_new = await self.identities.link(user, person.issuer, person.subject, self._clock())
        if is_new:
            details = {"issuer": person.issuer, "subject": person.subject}
            await audit.record(self._redis, self._keys, by, Act.USER_IDENTITY_LINKED, "user", user.id, **details)
        return is_new

    async def _user_of(self, person: Person, provider: OpenIdProvider, client: Client, language: str | None) -> User:
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
            await self._link(person, user, by=actor_of(user, client))
            return user
        if user.disabled_at is not None:
            raise UnknownPersonError("the user is disabled")
        if await self._link(person, user, by=actor_of(user, client)):
            await self._users.mails.add(MailKind.IDENTITY_LINKED, user_id=user.id, language=language)
        return user

    async def _create(self, person: Person, email: str, provider: OpenIdProvider) -> User:
        memberships = _memberships(person, email, provider)
        if not memberships:
            raise UnknownPersonError("no user has this address, and no rule creates one")
        try:
            return await self._users.create(email, _name(person, email), memberships, by=SYSTEM)
        except EmailTakenError:  # by another sign-in of the same person, at the same time
            raise AttemptEndedError from None
        except InvalidUserError as error:
            log.warning("a user could not be created at its first sign-in", extra={"reason": str(error)})
            raise UnknownPersonError("the rule that creates the user cannot be applied") from None


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
