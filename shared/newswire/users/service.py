"""What users and their admins do: invite, sign in, set passwords, change roles, disable, end sessions.

Every change leaves one entry in the audit log.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from redis.asyncio import Redis

from newswire.auth.account_names import check_account_name
from newswire.auth.accounts import find_account
from newswire.keys import Keyspace
from newswire.observability import audit
from newswire.observability.audit import Act, Actor, ActorType
from newswire.timestamps import utc_now
from newswire.users.mail_requests import MailKind, MailRequests
from newswire.users.models import (
    InvalidUserError,
    LastAdminError,
    Memberships,
    ProviderSession,
    Session,
    StartedSession,
    UsableCredentials,
    User,
)
from newswire.users.names import check_email, check_name
from newswire.users.one_time_links import LinkPurpose, OneTimeLink, OneTimeLinks
from newswire.users.passwords import hash_password, verify_password
from newswire.users.repository import Users
from newswire.users.roles import Role
from newswire.users.sessions import Sessions
from newswire.users.sign_in_limits import PasswordMailLimits, SignInLimits


@dataclass(frozen=True, slots=True)
class Client:
    """The browser that a request comes from: its address, the network it counts for, and what it says it is."""

    address: str | None
    network: str
    user_agent: str


class UserService:
    """Commands on users, each with its audit entry."""

    def __init__(self, redis: "Redis", keys: Keyspace, clock: Callable[[], datetime] = utc_now) -> None:
        self._redis = redis
        self._keys = keys
        self._clock = clock
        self.users = Users(redis, keys)
        self.sessions = Sessions(redis, keys, clock)
        self.links = OneTimeLinks(redis, keys)
        self.mails = MailRequests(redis, keys, clock)
        self._limits = SignInLimits(redis, keys)
        self._mail_limits = PasswordMailLimits(redis, keys)

    async def create(self, email: str, name: str, memberships: Memberships, *, by: Actor) -> User:
        """Create a user without a password; an invitation of `make_link` lets the person set one.

        Raises:
            InvalidUserError: address, name or an account is not accepted.
            EmailTakenError: another user has this address.
        """
        await self._check_accounts(memberships)
        user = await self.users.create(check_email(email), check_name(name), memberships, self._clock())
        await self._record(by, Act.USER_CREATED, user, email=user.email, roles=_told(memberships))
        return user

    async def change(
        self,
        user: User,
        *,
        email: str | None = None,
        name: str | None = None,
        memberships: Memberships | None = None,
        by: Actor,
    ) -> User:
        """Change address, name or roles of a user. Its sessions continue, with the new roles at once.

        Raises:
            InvalidUserError: address, name or an account is not accepted.
            EmailTakenError: another user has this address.
            LastAdminError: an account would be left without an enabled admin.
            UserChangedError: the user was changed at the same time.
        """
        wanted = user.memberships if memberships is None else memberships
        await self._check_accounts(wanted)
        await self._keep_an_admin(user, wanted)
        changed = await self.users.change(
            user,
            email=user.email if email is None else check_email(email),
            name=user.name if name is None else check_name(name),
            memberships=wanted,
        )
        details = _differences(user, changed)
        if details:
            await self._record(by, Act.USER_CHANGED, user, **details)
        if "email_before" in details:
            await self.mails.add(MailKind.EMAIL_CHANGED, user_id=user.id, address=user.email)
        return changed

    async def make_link(self, user: User, purpose: LinkPurpose, *, by: Actor) -> str:
        """Return the token of a new one-time link. One that sets a password ends when the user's record changes."""
        revision = None if purpose is LinkPurpose.SIGN_IN else user.revision
        token = await self.links.create(OneTimeLink(purpose, user.id, revision))
        await self._record(by, Act.USER_LINKED, user, purpose=purpose)
        return token

    async def invite(self, user: User, *, language: str | None = None) -> None:
        """Ask for a mail with a link by which a user without a password sets one; the audit entry is written when it is sent."""
        await self.mails.add(MailKind.INVITATION, user_id=user.id, language=language)

    async def request_password_link(self, email: str, language: str, client: Client) -> None:
        """Ask for a mail with a link for a new password. Whether the address is a user's is not looked at here.

        Too many mails to one address are dropped silently.

        Raises:
            newswire.users.sign_in_limits.TooManyFailuresError: too many were asked for from this network.
        """
        if await self._mail_limits.allow(email, client.network):
            await self.mails.add(MailKind.PASSWORD_LINK, address=email, language=language, client=client.address)

    async def linked_user(self, purpose: LinkPurpose, token: str, *, use: bool = False) -> User | None:
        """Return the user of a link, and use the link up if asked to; None if the link is unknown, used, expired or outdated."""
        link = await (self.links.use(purpose, token) if use else self.links.peek(purpose, token))
        user = await self.users.find(link.user_id) if link else None
        if link is None or user is None or user.disabled_at is not None:
            return None
        return user if link.revision in (None, user.revision) else None

    async def sign_in(self, email: str, password: str, client: Client) -> StartedSession | None:
        """Sign a user in by password; None if address or password is wrong, or the user is disabled.

        The answer takes equally long for unknown users.

        Raises:
            newswire.users.sign_in_limits.TooManyFailuresError: too many sign-ins failed.
            newswire.concurrency.offload.OffloadError: too many passwords are being verified.
        """
        await self._limits.check(email, client.network)
        user = await self.find_by_typed_email(email)
        stored = await self.users.password_hash(user.id) if user else None
        right = await verify_password(password, stored)
        if user is None or not right or user.disabled_at is not None:
            await self._limits.failed(email, client.network)
            return None
        await self._limits.succeeded(email, client.network)
        return await self.start_session(user, client, method="password")

    async def start_session(
        self, user: User, client: Client, *, method: str, at_provider: ProviderSession | None = None
    ) -> StartedSession:
        """Start a session of a user that proved its identity by any method."""
        session = await self.sessions.start(
            user, address=client.address, user_agent=client.user_agent, at_provider=at_provider
        )
        await self._record(actor_of(user, client), Act.USER_SIGNED_IN, user, method=method)
        return session

    async def confirm_password(self, session: Session, user: User, password: str, client: Client) -> Session | None:
        """Let a signed-in user prove its identity again; None if the password is wrong.

        Raises:
            newswire.users.sign_in_limits.TooManyFailuresError: too many attempts failed.
        """
        await self._limits.check(user.email, client.network)
        if not await verify_password(password, await self.users.password_hash(user.id)):
            await self._limits.failed(user.email, client.network)
            return None
        await self._limits.succeeded(user.email, client.network)
        return await self.sessions.confirm_identity(session)

    async def set_password(self, user: User, password: str, *, by: Actor, keep_session: str | None = None) -> None:
        """Set a password, and end all sessions but one.

        Raises:
            WeakPasswordError: it is too short, too long, or easy to guess.
            UserChangedError: the user was changed at the same time.
        """
        known = (user.email, user.email.partition("@")[0], *user.name.split(), *user.memberships)
        await self.users.set_password_hash(user, await hash_password(password, known=known))
        await self.sessions.end_all(user.id, but=keep_session)
        await self._record(by, Act.USER_PASSWORD_SET, user)
        if user.has_password:
            await self.mails.add(MailKind.PASSWORD_CHANGED, user_id=user.id)

    async def remove_password(
        self, user: User, usable: UsableCredentials, *, by: Actor, keep_session: str, language: str | None = None
    ) -> None:
        """Remove the password of a user with another way to sign in, and end all sessions but one. The user is warned by mail.

        Raises:
            LastCredentialError: without it, the user could not sign in.
        """
        if await self.users.remove_password_hash(user.id, usable):
            await self.sessions.end_all(user.id, but=keep_session)
            await self._record(by, Act.USER_PASSWORD_REMOVED, user)
            await self.mails.add(MailKind.PASSWORD_REMOVED, user_id=user.id, language=language)

    async def disable(self, user: User, *, by: Actor) -> None:
        """Disable a user and end its sessions.

        Raises:
            LastAdminError: an account would be left without an enabled admin.
            UserChangedError: the user was changed at the same time.
        """
        await self._keep_an_admin(user, {})
        await self.users.disable(user, self._clock())
        await self.sessions.end_all(user.id)
        await self._record(by, Act.USER_DISABLED, user)

    async def enable(self, user: User, *, by: Actor) -> None:
        """Enable a disabled user.

        Raises:
            UserChangedError: the user was changed at the same time.
        """
        await self.users.enable(user)
        await self._record(by, Act.USER_ENABLED, user)

    async def delete(self, user: User, *, by: Actor) -> None:
        """Delete a user, its sessions, its passkeys and its links to providers. What it wrote stays, under its name.

        Raises:
            LastAdminError: an account would be left without an enabled admin.
        """
        await self._keep_an_admin(user, {})
        await self.users.delete(user)
        await self._record(by, Act.USER_DELETED, user, email=user.email)

    async def sign_out(self, user: User, session_id: str, *, by: Actor) -> bool:
        """End one session of a user; return whether there was one."""
        ended = await self.sessions.end(user.id, session_id)
        if ended:
            await self._record(by, Act.USER_SIGNED_OUT, user, sessions=1)
        return ended

    async def sign_out_everywhere(self, user: User, *, by: Actor, but: str | None = None) -> int:
        """End all sessions of a user but one; return how many ended."""
        ended = await self.sessions.end_all(user.id, but=but)
        if ended:
            await self._record(by, Act.USER_SIGNED_OUT, user, sessions=ended)
        return ended

    async def find_by_typed_email(self, email: str) -> User | None:
        """Return the user with an address as a person typed it; None also if it is no address."""
        try:
            return await self.users.find_by_email(check_email(email))
        except InvalidUserError:
            return None

    async def _check_accounts(self, memberships: Memberships) -> None:
        if not memberships or not all(memberships.values()):
            raise InvalidUserError("roles", "a user has at least one role in at least one account")
        for account in memberships:
            check_account_name(account)
            if await find_account(self._redis, self._keys, account) is None:
                raise InvalidUserError("account", f"there is no account {account!r}; create it first")

    async def _keep_an_admin(self, user: User, wanted: Memberships) -> None:
        """Check that every account of which the user stops being admin, and that has other users, keeps an admin."""
        left = [
            account
            for account, roles in user.memberships.items()
            if Role.ADMIN in roles and Role.ADMIN not in wanted.get(account, frozenset())
        ]
        for account in left:
            others = [each for each in await self.users.list(account=account) if each.id != user.id]
            enabled = [each for each in others if each.disabled_at is None]
            if enabled and not any(Role.ADMIN in each.memberships[account] for each in enabled):
                raise LastAdminError(f"{account} would have no admin; make another user admin first")

    async def _record(self, by: Actor, act: Act, user: User, **details: Any) -> None:
        await audit.record(self._redis, self._keys, by, act, "user", user.id, **details)


def actor_of(user: User, client: Client, account: str | None = None) -> Actor:
    """Return a user as the actor of an audit entry."""
    return Actor(ActorType.USER, account=account, address=client.address, user_id=user.id)


def _told(memberships: Memberships) -> Mapping[str, list[str]]:
    return {account: sorted(roles) for account, roles in sorted(memberships.items())}


def _differences(before: User, after: User) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if before.email != after.email:
        found |= {"email_before": before.email, "email": after.email}
    if before.name != after.name:
        found |= {"name_before": before.name, "name": after.name}
    if before.memberships != after.memberships:
        found |= {"roles_before": _told(before.memberships), "roles": _told(after.memberships)}
    return found
