"""Users, their passkeys and their links to providers are part of a backup; their sessions and one-time links are not."""

from contextlib import nullcontext
from pathlib import Path

from redis.asyncio import Redis

from newswire.auth.accounts import create_account
from newswire.keys import Keyspace
from newswire.observability.audit import COMMAND_LINE
from newswire.timestamps import utc_now
from newswire.users.one_time_links import LinkPurpose
from newswire.users.roles import Role
from newswire.users.service import Client, UserService
from newswire_ingest.openid.repository import Identities
from newswire_ingest.passkeys.models import Passkey
from newswire_ingest.passkeys.repository import Passkeys
from newswire_operations.backup.restore import restore_backup
from newswire_operations.backup.write import write_backup
from newswire_operations.stores import Stores

PASSWORD = "velvet ferry onion quay"
BROWSER = Client("192.0.2.7", "192.0.2.7", "Firefox/150")


async def test_a_user_signs_in_again_after_a_restore(redis: Redis, namespace: str, tmp_path: Path) -> None:
    keys = Keyspace(namespace)
    service = UserService(redis, keys)
    await create_account(redis, keys, "Harbour Post")
    roles = {"Harbour Post": frozenset({Role.EDITOR})}
    user = await service.create("ida@harbour.example", "Ida Roth", roles, by=COMMAND_LINE)
    await service.set_password(user, PASSWORD, by=COMMAND_LINE)
    session = await service.sign_in(user.email, PASSWORD, BROWSER)
    assert session is not None
    link = await service.make_link(user, LinkPurpose.SIGN_IN, by=COMMAND_LINE)
    passkey = Passkey("a2V5", "Phone", b"public", 7, utc_now().replace(microsecond=0), None, synced=True)
    await Passkeys(redis, keys).add(user.id, passkey)
    identities = Identities(redis, keys)
    await identities.link(user, "https://sso.example", "p-1", utc_now().replace(microsecond=0))
    linked = await identities.list(user.id)
    file = tmp_path / "newswire.backup"
    stores = Stores(redis, redis, keys)
    await write_backup(stores, file.with_suffix(".draft"), file, lambda title, total: nullcontext(lambda: None))
    for name in [name async for name in redis.scan_iter(f"*{namespace}*")]:
        await redis.unlink(name)

    await restore_backup(stores, file, lambda: None)
    assert [found.memberships for found in await service.users.list(account="Harbour Post")] == [roles]
    assert await Passkeys(redis, keys).list(user.id) == [passkey]
    assert await identities.list(user.id) == linked
    assert await identities.find_user("https://sso.example", "p-1") == user.id
    assert await service.sessions.find(session.token) is None
    assert await service.linked_user(LinkPurpose.SIGN_IN, link) is None
    assert await service.sign_in("IDA@harbour.example", PASSWORD, BROWSER) is not None
