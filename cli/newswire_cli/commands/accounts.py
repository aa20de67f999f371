"""`newswire accounts`: create, list, limit and disable accounts."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from newswire_cli.client.redis import DataDir, with_stores
from newswire_cli.terminal.console import fail, say
from newswire_cli.terminal.json_output import Json
from newswire_cli.terminal.tables import Record, member, minute, print_records
from newswire_operations.stores import Stores

if TYPE_CHECKING:
    from newswire.auth.accounts import Account

app = typer.Typer(help="Create, list, limit and disable accounts.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME")]


@app.command()
def create(name: Name, data_dir: DataDir = None) -> None:
    """Create an account. `newswire keys create` creates a missing account as well."""

    async def work(stores: Stores) -> bool:
        from newswire.auth.accounts import create_account

        return await create_account(stores.redis, stores.keys, name)

    if not with_stores(data_dir, work, writes=True):
        fail(f"the account {name} exists already")
    say(f"{name} is created")


@app.command("list")
def list_(json: Json = False, data_dir: DataDir = None) -> None:
    """List the accounts by name."""

    async def work(stores: Stores) -> list[Record]:
        from newswire.auth.accounts import list_accounts

        return [_record(account) for account in await list_accounts(stores.redis, stores.keys)]

    columns = {
        "name": member("name"),
        "created": minute("created_at"),
        "state": lambda account: f"disabled {minute('disabled_at')(account)}" if account["disabled_at"] else "enabled",
        "rate": lambda account: "" if account["publish_rate"] is None else f"{account['publish_rate']:g}/s",
        "quota": lambda account: "" if account["daily_quota"] is None else f"{account['daily_quota']}/day",
        "entitlement": _entitlement,
    }
    print_records(with_stores(data_dir, work), columns, as_json=json)


def _record(account: "Account") -> dict[str, Any]:
    entitlement = account.entitlement.model_dump(mode="json", exclude_defaults=True) if account.entitlement else None
    return asdict(account) | {"entitlement": entitlement}


def _entitlement(account: Record) -> str:
    from json import dumps

    return "" if account["entitlement"] is None else dumps(account["entitlement"], separators=(",", ":"))


@app.command()
def limit(
    name: Name,
    publish_rate: Annotated[
        float | None,
        typer.Option(help="Publishing requests per second and key; 0 restores the default of the settings.", min=0),
    ] = None,
    daily_quota: Annotated[
        int | None, typer.Option(help="New articles per day (UTC); 0 restores the default of the settings.", min=0)
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Set the limits of one account."""
    given: dict[str, float | None] = {"publish_rate": publish_rate, "daily_quota": daily_quota}
    limits = {field: value or None for field, value in given.items() if value is not None}
    if not limits:
        fail("no limit given: give --publish-rate, --daily-quota, or both")

    async def work(stores: Stores) -> bool:
        from newswire.auth.accounts import limit_account

        return await limit_account(stores.redis, stores.keys, name, limits)

    _report(with_stores(data_dir, work, writes=True), name, "has its new limits")


@app.command("set")
def set_(
    name: Name,
    entitlement: Annotated[
        str,
        typer.Option(
            metavar="JSON",
            help='Restricts what the account can read, receive and replay, e.g. \'{"topics": ["Ferries"]}\'; null removes it.',
        ),
    ],
    data_dir: DataDir = None,
) -> None:
    """Set what an account may read."""

    async def work(stores: Stores) -> bool:
        from pydantic import TypeAdapter, ValidationError

        from newswire.auth.accounts import entitle_account
        from newswire.filter_input import FilterInput
        from newswire.filters import Filter
        from newswire.http.problems import from_validation_error

        try:
            sent: TypeAdapter[Filter] = TypeAdapter(FilterInput)
            filter_ = None if entitlement == "null" else sent.validate_json(entitlement)
        except ValidationError as error:
            fail(f"--entitlement is not a valid filter: {from_validation_error(error).detail}")
        return await entitle_account(stores.redis, stores.keys, name, filter_)

    _report(with_stores(data_dir, work, writes=True), name, "has its new entitlement")


@app.command()
def disable(name: Name, data_dir: DataDir = None) -> None:
    """Disable an account: all its keys are rejected until it is enabled again. Its articles stay published."""

    async def work(stores: Stores) -> bool:
        from newswire.auth.accounts import disable_account

        return await disable_account(stores.redis, stores.keys, name)

    _report(with_stores(data_dir, work, writes=True), name, "is disabled")


@app.command()
def enable(name: Name, data_dir: DataDir = None) -> None:
    """Enable a disabled account."""

    async def work(stores: Stores) -> bool:
        from newswire.auth.accounts import enable_account

        return await enable_account(stores.redis, stores.keys, name)

    _report(with_stores(data_dir, work, writes=True), name, "is enabled")


def _report(found: bool, name: str, result: str) -> None:
    if not found:
        fail(f"there is no account {name}; `newswire accounts list` lists them")
    say(f"{name} {result}")
