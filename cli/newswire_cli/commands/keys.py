"""`newswire keys`: create, list, rotate and revoke API keys."""

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from newswire_cli.client.redis import DataDir, with_stores
from newswire_cli.terminal.console import fail, note, say
from newswire_cli.terminal.json_output import Json
from newswire_cli.terminal.tables import Record, member, minute, print_records
from newswire_operations.stores import Stores

if TYPE_CHECKING:
    from newswire.auth.api_keys import Key

app = typer.Typer(help="Create, list, rotate and revoke keys.", no_args_is_help=True)


class ScopeName(StrEnum):
    """The scopes of a key: the same as `newswire.auth.credentials.Scope`, which is slow to import."""

    PUBLISH = "publish"
    SUBSCRIBE = "subscribe"
    READ = "read"
    ADMIN = "admin"


@app.command()
def create(
    account: Annotated[str, typer.Option(help="The account of the key. A publisher's name is that of its account.")],
    scope: Annotated[list[ScopeName], typer.Option(help="What the key allows; repeatable.")],
    label: Annotated[str | None, typer.Option(help="A note that is shown in lists of keys.")] = None,
    expires: Annotated[
        datetime | None, typer.Option(help="When the key expires (UTC).", formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"])
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Create a key and print it, alone on its line. It cannot be shown again."""

    expires_at = expires.replace(tzinfo=UTC) if expires else None
    if expires_at and expires_at <= datetime.now(UTC):
        fail("--expires is in the past")

    async def work(stores: Stores) -> tuple[str, bool]:
        from newswire.auth.accounts import find_account
        from newswire.auth.api_keys import create_key
        from newswire.auth.credentials import Scope

        is_new = await find_account(stores.redis, stores.keys, account) is None
        created = await create_key(
            stores.redis, stores.keys, account, {Scope(name) for name in scope}, label=label, expires_at=expires_at
        )
        return created.token, is_new

    token, is_new = with_stores(data_dir, work, writes=True)
    if is_new:
        note(f"the account {account!r} is new; if that is a typing error, `newswire accounts list` lists all accounts")
    say(token)


@app.command("list")
def list_(json: Json = False, data_dir: DataDir = None) -> None:
    """List the keys by id. Their secrets are not stored."""

    async def work(stores: Stores) -> list[Record]:
        from newswire.auth.api_keys import list_keys

        now = datetime.now(UTC)
        return [_record(key, now) for key in await list_keys(stores.redis, stores.keys)]

    columns = {
        "id": member("id"),
        "account": member("account"),
        "scopes": lambda key: ",".join(key["scopes"]),
        "created": minute("created_at"),
        "state": member("state"),
        "expires": minute("expires_at"),
        "last used": minute("last_used_at"),
        "label": member("label"),
    }
    print_records(with_stores(data_dir, work), columns, as_json=json)


def _record(key: "Key", now: datetime) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(key) | {"scopes": sorted(key.scopes), "state": key.state(now)}


@app.command()
def rotate(
    key_id: Annotated[str, typer.Argument(metavar="ID")],
    overlap: Annotated[float, typer.Option(help="Hours for which the old key stays valid.", min=0, max=30 * 24)] = 24,
    data_dir: DataDir = None,
) -> None:
    """Replace a key by a new one and print the new one, alone on its line. It cannot be shown again."""

    async def work(stores: Stores) -> str | None:
        from newswire.auth.api_keys import KeyRotationError, rotate_key

        try:
            created = await rotate_key(stores.redis, stores.keys, key_id, overlap=timedelta(hours=overlap))
        except KeyRotationError as error:
            fail(f"{key_id} cannot be replaced: {error}")
        return created.token if created else None

    token = with_stores(data_dir, work, writes=True)
    if token is None:
        fail(f"there is no key {key_id}; `newswire keys list` lists them")
    say(token)


@app.command()
def revoke(key_id: Annotated[str, typer.Argument(metavar="ID")], data_dir: DataDir = None) -> None:
    """Revoke a key by its id. It is rejected at once."""

    async def work(stores: Stores) -> bool:
        from newswire.auth.api_keys import revoke_key

        return await revoke_key(stores.redis, stores.keys, key_id)

    if not with_stores(data_dir, work, writes=True):
        fail(f"there is no key {key_id}; `newswire keys list` lists them")
    say(f"{key_id} is revoked")
