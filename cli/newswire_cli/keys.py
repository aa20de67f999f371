"""`newswire keys`: who may publish, subscribe, read and administer."""

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated

import typer

from newswire_cli.console import fail, note, say
from newswire_cli.store import DataDir, Store, with_store

app = typer.Typer(help="Make, list, rotate and revoke keys.", no_args_is_help=True)


class ScopeName(StrEnum):
    """What a key may allow; the same as `newswire.auth.credentials.Scope`, which is slow to import."""

    PUBLISH = "publish"
    SUBSCRIBE = "subscribe"
    READ = "read"
    ADMIN = "admin"


@app.command()
def create(
    account: Annotated[str, typer.Option(help="The account the key belongs to; a publisher's name is its account's.")],
    scope: Annotated[list[ScopeName], typer.Option(help="What the key allows; may be given several times.")],
    label: Annotated[str | None, typer.Option(help="A note for those who list the keys.")] = None,
    expires: Annotated[
        datetime | None, typer.Option(help="When the key ends (UTC).", formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"])
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Make a key and print it, alone on its line; it is shown only now."""

    ends = expires.replace(tzinfo=UTC) if expires else None
    if ends and ends <= datetime.now(UTC):
        fail("--expires lies in the past")

    async def work(store: Store) -> tuple[str, bool]:
        from newswire.auth.accounts import find_account
        from newswire.auth.api_keys import create_key
        from newswire.auth.credentials import Scope

        is_new = await find_account(store.redis, store.keys, account) is None
        created = await create_key(
            store.redis, store.keys, account, {Scope(name) for name in scope}, label=label, expires_at=ends
        )
        return created.token, is_new

    token, is_new = with_store(data_dir, work)
    if is_new:
        note(f"the account {account!r} is new; `newswire accounts list` shows all, should the name be misspelt")
    say(token)


@app.command("list")
def list_(data_dir: DataDir = None) -> None:
    """List the keys by id; their secrets are kept nowhere."""

    async def work(store: Store) -> list[list[str]]:
        from newswire.auth.api_keys import list_keys

        now = datetime.now(UTC)
        return [
            [
                key.id,
                key.account,
                ",".join(sorted(key.scopes)),
                f"{key.created_at:%Y-%m-%d %H:%M}",
                key.state(now),
                f"{key.expires_at:%Y-%m-%d %H:%M}" if key.expires_at else "",
                f"{key.last_used_at:%Y-%m-%d %H:%M}" if key.last_used_at else "",
                key.label or "",
            ]
            for key in await list_keys(store.redis, store.keys)
        ]

    from newswire_cli.tables import show

    show(["id", "account", "scopes", "created", "state", "expires", "last used", "label"], with_store(data_dir, work))


@app.command()
def rotate(
    key_id: Annotated[str, typer.Argument(metavar="ID")],
    overlap: Annotated[float, typer.Option(help="Hours for which the old key stays valid.", min=0, max=30 * 24)] = 24,
    data_dir: DataDir = None,
) -> None:
    """Replace a key by a new one and print that, alone on its line; it is shown only now."""

    async def work(store: Store) -> str | None:
        from newswire.auth.api_keys import KeyRotationError, rotate_key

        try:
            created = await rotate_key(store.redis, store.keys, key_id, overlap=timedelta(hours=overlap))
        except KeyRotationError as error:
            fail(f"{key_id} cannot be replaced: {error}")
        return created.token if created else None

    token = with_store(data_dir, work)
    if token is None:
        fail(f"there is no key {key_id}; `newswire keys list` shows them")
    say(token)


@app.command()
def revoke(key_id: Annotated[str, typer.Argument(metavar="ID")], data_dir: DataDir = None) -> None:
    """Revoke a key by its id; it is worthless at once."""

    async def work(store: Store) -> bool:
        from newswire.auth.api_keys import revoke_key

        return await revoke_key(store.redis, store.keys, key_id)

    if not with_store(data_dir, work):
        fail(f"there is no key {key_id}; `newswire keys list` shows them")
    say(f"{key_id} is revoked")
