"""The first user of `newswire run`, and the one-time link by which its owner signs in."""

from typing import TYPE_CHECKING

from newswire_cli.local.data_dir import ACCOUNTS

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from newswire.keys import Keyspace

EMAIL = "admin@newswire.example"
NAME = "Demo Admin"


async def sign_in_link(redis: "Redis", keys: "Keyspace") -> str | None:
    """Return the path of a new link that signs the demo admin in; None if the owner deleted or disabled that user.

    If there are no users at all, the demo admin is created: without a password, and admin of the accounts that publish and
    subscribe.
    """
    from newswire.observability.audit import COMMAND_LINE
    from newswire.users.one_time_links import LinkPurpose
    from newswire.users.roles import Role
    from newswire.users.service import UserService

    service = UserService(redis, keys)
    user = await service.users.find_by_email(EMAIL)
    if user is None and not await service.users.list(limit=1):
        accounts = (ACCOUNTS[name][0] for name in ("publisher", "subscriber"))
        memberships = {account: frozenset({Role.ADMIN}) for account in accounts}
        user = await service.create(EMAIL, NAME, memberships, by=COMMAND_LINE)
    if user is None or user.disabled_at is not None:
        return None
    token = await service.make_link(user, LinkPurpose.SIGN_IN, by=COMMAND_LINE)
    return f"/{LinkPurpose.SIGN_IN}/{token}"
