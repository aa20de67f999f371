"""Roles of users in an account, and what each role permits."""

from collections.abc import Iterable
from enum import StrEnum


class Role(StrEnum):
    """What a user is in an account. A user can have several roles."""

    WRITER = "writer"
    """Writes drafts."""
    EDITOR = "editor"
    """Publishes, corrects and retracts as well."""
    SUBSCRIBER = "subscriber"
    """Manages subscriptions and their endpoints."""
    NEWSLETTERS = "newsletters"
    """Manages newsletters and their readers."""
    ADMIN = "admin"
    """Everything, and the users and the API keys of the account."""


class Permission(StrEnum):
    """One thing that a user may do in an account."""

    WRITE_DRAFTS = "write drafts"
    PUBLISH = "publish"
    CORRECT = "correct"
    RETRACT = "retract"
    IMPORT = "import articles"
    MERGE_LABELS = "merge labels"
    MANAGE_SUBSCRIPTIONS = "manage subscriptions"
    MANAGE_NEWSLETTERS = "manage newsletters"
    MANAGE_USERS = "manage users"
    MANAGE_KEYS = "manage API keys"


_WRITER = frozenset({Permission.WRITE_DRAFTS})
_EDITOR = _WRITER | {
    Permission.PUBLISH,
    Permission.CORRECT,
    Permission.RETRACT,
    Permission.IMPORT,
    Permission.MERGE_LABELS,
}
PERMISSIONS: dict[Role, frozenset[Permission]] = {
    Role.WRITER: _WRITER,
    Role.EDITOR: _EDITOR,
    Role.SUBSCRIBER: frozenset({Permission.MANAGE_SUBSCRIPTIONS}),
    Role.NEWSLETTERS: frozenset({Permission.MANAGE_NEWSLETTERS}),
    Role.ADMIN: frozenset(Permission),
}


def permissions_of(roles: Iterable[Role]) -> frozenset[Permission]:
    """Return what any of these roles permits."""
    return frozenset().union(*(PERMISSIONS[role] for role in roles))
