"""`newswire accounts`: who owns articles and subscriptions here, and what they may do."""

from typing import Annotated

import typer

from newswire_cli.console import fail, say
from newswire_cli.store import DataDir, Store, with_store

app = typer.Typer(help="Make, list, limit and disable accounts.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME")]


@app.command()
def create(name: Name, data_dir: DataDir = None) -> None:
    """Make an account; its first key would make it as well."""

    async def work(store: Store) -> bool:
        from newswire.auth.accounts import create_account

        return await create_account(store.redis, store.keys, name)

    if not with_store(data_dir, work):
        fail(f"there is an account {name} already")
    say(f"{name} is there")


@app.command("list")
def list_(data_dir: DataDir = None) -> None:
    """List the accounts by name."""

    async def work(store: Store) -> list[list[str]]:
        from newswire.auth.accounts import list_accounts

        return [
            [
                account.name,
                f"{account.created_at:%Y-%m-%d %H:%M}",
                f"disabled {account.disabled_at:%Y-%m-%d %H:%M}" if account.disabled_at else "enabled",
                "" if account.publish_rate is None else f"{account.publish_rate:g}/s",
                "" if account.daily_quota is None else f"{account.daily_quota}/day",
                "" if account.entitlement is None else account.entitlement.model_dump_json(exclude_defaults=True),
            ]
            for account in await list_accounts(store.redis, store.keys)
        ]

    from newswire_cli.tables import show

    show(["name", "created", "state", "rate", "quota", "entitlement"], with_store(data_dir, work))


@app.command()
def limit(
    name: Name,
    publish_rate: Annotated[
        float | None, typer.Option(help="Publishing requests a second and key; 0: as the settings say.", min=0)
    ] = None,
    daily_quota: Annotated[
        int | None, typer.Option(help="New articles a day (UTC); 0: as the settings say.", min=0)
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Give an account limits of its own."""
    given: dict[str, float | None] = {"publish_rate": publish_rate, "daily_quota": daily_quota}
    limits = {field: value or None for field, value in given.items() if value is not None}
    if not limits:
        fail("name a limit: --publish-rate, --daily-quota, or both")

    async def work(store: Store) -> bool:
        from newswire.auth.accounts import limit_account

        return await limit_account(store.redis, store.keys, name, limits)

    _told(with_store(data_dir, work), name, "has its new limits")


@app.command("set")
def set_(
    name: Name,
    entitlement: Annotated[
        str,
        typer.Option(
            metavar="JSON",
            help='Narrows all that it reads, is told of and replays, e.g. \'{"topics": ["Ferries"]}\'; null: nothing does.',
        ),
    ],
    data_dir: DataDir = None,
) -> None:
    """Say what an account may read."""

    async def work(store: Store) -> bool:
        from pydantic import TypeAdapter, ValidationError

        from newswire.auth.accounts import entitle_account
        from newswire.filters import Filter, FilterInput
        from newswire.http.problems import from_validation_error

        try:
            sent: TypeAdapter[Filter] = TypeAdapter(FilterInput)
            filter_ = None if entitlement == "null" else sent.validate_json(entitlement)
        except ValidationError as error:
            fail(f"--entitlement is no filter: {from_validation_error(error).detail}")
        return await entitle_account(store.redis, store.keys, name, filter_)

    _told(with_store(data_dir, work), name, "has its new entitlement")


@app.command()
def disable(name: Name, data_dir: DataDir = None) -> None:
    """Close an account: none of its keys opens anything, until it is enabled. What it published stays."""

    async def work(store: Store) -> bool:
        from newswire.auth.accounts import disable_account

        return await disable_account(store.redis, store.keys, name)

    _told(with_store(data_dir, work), name, "is disabled")


@app.command()
def enable(name: Name, data_dir: DataDir = None) -> None:
    """Open a disabled account again."""

    async def work(store: Store) -> bool:
        from newswire.auth.accounts import enable_account

        return await enable_account(store.redis, store.keys, name)

    _told(with_store(data_dir, work), name, "is enabled")


def _told(found: bool, name: str, what: str) -> None:
    if not found:
        fail(f"there is no account {name}; `newswire accounts list` shows them")
    say(f"{name} {what}")
