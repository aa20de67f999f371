"""Users, their sessions, and the errors of both."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from newswire.users.roles import Permission, Role, permissions_of

Memberships = Mapping[str, frozenset[Role]]
"""The accounts of a user, each with the user's roles in it."""


@dataclass(frozen=True, slots=True)
class User:
    """A person who can sign in. ``revision`` grows with every change of the record."""

    id: str
    email: str
    name: str
    memberships: Memberships
    created_at: datetime
    revision: int
    disabled_at: datetime | None = None
    last_sign_in_at: datetime | None = None
    has_password: bool = False
    disabled_accounts: frozenset[str] = frozenset()
    """Of a user who is signed in: the accounts among its memberships that are disabled."""

    def permissions(self, account: str) -> frozenset[Permission]:
        """Return what the user may do in an account: nothing if either is disabled, or the user is not a member."""
        if self.disabled_at is not None or account in self.disabled_accounts:
            return frozenset()
        return permissions_of(self.memberships.get(account, frozenset()))

    def accounts_with(self, permission: Permission) -> list[str]:
        """Return the accounts, sorted, in which the user has this permission."""
        return sorted(account for account in self.memberships if permission in self.permissions(account))


@dataclass(frozen=True, slots=True)
class UsableCredentials:
    """The kinds of credentials, beside passwords, that an installation accepts.

    A user may also have others: a link to a provider that was removed from the settings is no way to sign in.
    """

    passkeys: bool = False
    issuers: tuple[str, ...] = ()
    """Of the providers, in each spelling that an identity may have."""

    def stored(self) -> dict[str, object]:
        """Return them as arguments of a Redis function."""
        return {"passkeys": self.passkeys, "issuers": list(self.issuers)}


@dataclass(frozen=True, slots=True)
class ProviderSession:
    """The session at an OpenID provider with which a session began; kept to end both at the sign-out."""

    provider: str
    """Its name in the settings."""
    id_token: str = field(default="", repr=False)
    """Empty if it is too long for an address."""


@dataclass(frozen=True, slots=True)
class Session:
    """A browser in which a user is signed in. ``id`` is the hash of its token, which is not stored."""

    id: str
    user_id: str
    created_at: datetime
    authenticated_at: datetime
    """When the user last proved who it is; dangerous acts require that this is recent."""
    last_seen_at: datetime
    """To the minute."""
    expires_at: datetime
    address: str | None
    user_agent: str
    at_provider: ProviderSession | None = None


@dataclass(frozen=True, slots=True)
class StartedSession:
    """A new session. ``token`` is the value of the cookie; it is not stored."""

    token: str = field(repr=False)
    id: str
    user: User


class UserError(Exception):
    """The base of the errors of users."""


class EmailTakenError(UserError):
    """Another user has this e-mail address."""


class InvalidUserError(UserError, ValueError):
    """A value of a user is not accepted; the message says why. ``field`` names it."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class UserChangedError(UserError):
    """The user was changed by another request at the same time."""


class WeakPasswordError(UserError, ValueError):
    """The password is not accepted; the message says why."""


class LastAdminError(UserError):
    """The change would leave an account without an enabled admin."""


class LastCredentialError(UserError):
    """Without this credential, the user could not sign in: it has no other one."""
