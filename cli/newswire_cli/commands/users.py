"""`newswire users`: the people who sign in with a browser."""

from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from newswire_cli.client.http import DEFAULT_SITE, Site
from newswire_cli.client.redis import DataDir, with_stores
from newswire_cli.terminal.console import fail, note, say
from newswire_cli.terminal.json_output import Json
from newswire_cli.terminal.tables import Record, member, minute, print_records
from newswire_operations.stores import Stores

if TYPE_CHECKING:
    from newswire.users.models import User
    from newswire.users.service import UserService

app = typer.Typer(help="Create, list and change the people who sign in with a browser.", no_args_is_help=True)


class RoleName(StrEnum):
    """The roles of a user: the same as `newswire.users.roles.Role`, which is slow to import."""

    WRITER = "writer"
    EDITOR = "editor"
    SUBSCRIBER = "subscriber"
    NEWSLETTERS = "newsletters"
    ADMIN = "admin"


class LinkName(StrEnum):
    """The purposes of a link: the same as `newswire.users.one_time_links.LinkPurpose`."""

    INVITATION = "invitation"
    RESET_PASSWORD = "reset-password"  # noqa: S105 (the name of a purpose)
    SIGN_IN = "sign-in"


Email = Annotated[str, typer.Argument(metavar="EMAIL", help="The address of the user.")]
Roles = Annotated[list[RoleName], typer.Option("--role", help="What the user may do in the account; repeatable.")]
Account = Annotated[str, typer.Option("--account", help="The account in which the user has the roles.")]


@app.command()
def create(
    email: Email,
    name: Annotated[str, typer.Option(help="The name of the person.")],
    account: Account,
    role: Roles,
    site: Site = DEFAULT_SITE,
    data_dir: DataDir = None,
) -> None:
    """Create a user and print a link, alone on its line, by which the person sets a password. It cannot be shown again."""

    async def work(stores: Stores, service: "UserService") -> str:
        from newswire.observability.audit import COMMAND_LINE
        from newswire.users.one_time_links import LinkPurpose
        from newswire.users.roles import Role

        memberships = {account: frozenset(Role(each) for each in role)}
        user = await service.create(email, name, memberships, by=COMMAND_LINE)
        return f"/invitation/{await service.make_link(user, LinkPurpose.INVITATION, by=COMMAND_LINE)}"

    _say_link(site, _with_users(data_dir, work), "7 days")


@app.command("list")
def list_(
    account: Annotated[str | None, typer.Option(help="Only users of this account.")] = None,
    json: Json = False,
    data_dir: DataDir = None,
) -> None:
    """List the users, oldest first."""

    async def work(stores: Stores, service: "UserService") -> list[Record]:
        from newswire.users.records import user_document

        return [user_document(user) for user in await service.users.list(account=account)]

    columns = {
        "email": member("email"),
        "name": member("name"),
        "roles": lambda user: "; ".join(f"{name}: {', '.join(roles)}" for name, roles in user["memberships"].items()),
        "state": lambda user: (
            "disabled" if user["disabled_at"] else "enabled" if user["has_password"] else "no password"
        ),
        "last sign-in": minute("last_sign_in_at"),
        "id": member("id"),
    }
    print_records(_with_users(data_dir, work, writes=False), columns, as_json=json)


@app.command()
def link(
    email: Email,
    purpose: Annotated[
        LinkName,
        typer.Option(help="invitation and reset-password let the person set a password; sign-in signs in once."),
    ] = LinkName.SIGN_IN,
    site: Site = DEFAULT_SITE,
    data_dir: DataDir = None,
) -> None:
    """Print a one-time link for a user, alone on its line. It cannot be shown again."""

    async def work(stores: Stores, service: "UserService") -> str:
        from newswire.observability.audit import COMMAND_LINE
        from newswire.users.one_time_links import LinkPurpose

        user = await _existing(service, email)
        return f"/{purpose}/{await service.make_link(user, LinkPurpose(purpose), by=COMMAND_LINE)}"

    lifetimes = {LinkName.INVITATION: "7 days", LinkName.RESET_PASSWORD: "1 hour", LinkName.SIGN_IN: "15 minutes"}
    _say_link(site, _with_users(data_dir, work), lifetimes[purpose])


@app.command("set-roles")
def set_roles(
    email: Email,
    account: Account,
    role: Annotated[
        list[RoleName] | None,
        typer.Option("--role", help="A role in the account; repeatable. Without one, the user leaves the account."),
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Set the roles of a user in one account."""

    async def work(stores: Stores, service: "UserService") -> None:
        from newswire.observability.audit import COMMAND_LINE
        from newswire.users.roles import Role

        user = await _existing(service, email)
        others = {name: roles for name, roles in user.memberships.items() if name != account}
        wanted = others | ({account: frozenset(Role(each) for each in role)} if role else {})
        await service.change(user, memberships=wanted, by=COMMAND_LINE)

    _with_users(data_dir, work)
    say(f"{email} is {', '.join(role)} in {account}" if role else f"{email} has left {account}")


@app.command()
def disable(email: Email, data_dir: DataDir = None) -> None:
    """Disable a user and end all its sessions."""
    _change(data_dir, email, lambda service, user, by: service.disable(user, by=by))
    say(f"{email} is disabled")


@app.command()
def enable(email: Email, data_dir: DataDir = None) -> None:
    """Enable a disabled user."""
    _change(data_dir, email, lambda service, user, by: service.enable(user, by=by))
    say(f"{email} is enabled")


@app.command("sign-out")
def sign_out(email: Email, data_dir: DataDir = None) -> None:
    """End all sessions of a user at once."""
    _change(data_dir, email, lambda service, user, by: service.sign_out_everywhere(user, by=by))
    say(f"{email} is signed out everywhere")


@app.command()
def delete(email: Email, data_dir: DataDir = None) -> None:
    """Delete a user. The articles that it wrote stay."""
    _change(data_dir, email, lambda service, user, by: service.delete(user, by=by))
    say(f"{email} is deleted")


def _change(data_dir: Any, email: str, act: Callable[["UserService", "User", Any], Awaitable[Any]]) -> None:
    async def work(stores: Stores, service: "UserService") -> None:
        from newswire.observability.audit import COMMAND_LINE

        await act(service, await _existing(service, email), COMMAND_LINE)

    _with_users(data_dir, work)


def _with_users(data_dir: Any, work: Callable[[Stores, "UserService"], Awaitable[Any]], *, writes: bool = True) -> Any:
    """Call a function with the users, or end the command with one line about the error."""

    async def connected(stores: Stores) -> Any:
        from newswire.users.models import EmailTakenError, UserError
        from newswire.users.service import UserService

        try:
            return await work(stores, UserService(stores.redis, stores.keys))
        except EmailTakenError:
            fail("another user has this e-mail address; `newswire users list` lists all users")
        except UserError as error:
            fail(str(error))

    return with_stores(data_dir, connected, writes=writes)


async def _existing(service: "UserService", email: str) -> "User":
    user = await service.users.find_by_email(email)
    if user is None:
        fail(f"there is no user {email}; `newswire users list` lists them")
    return user


def _say_link(site: str, path: str, lifetime: str) -> None:
    note(f"the link works once, within {lifetime}")
    say(f"{site.rstrip('/')}{path}")
