"""The command `newswire`."""

from collections.abc import Callable
from typing import Annotated

import typer

from newswire_cli.commands import (
    accounts,
    archive,
    articles,
    audit,
    dead_letters,
    drafts,
    keys,
    media,
    newsletters,
    subscriptions,
    topics,
    users,
)
from newswire_cli.commands.backup import backup
from newswire_cli.commands.doctor import doctor
from newswire_cli.commands.elasticsearch_role import elasticsearch_role
from newswire_cli.commands.export import export
from newswire_cli.commands.import_articles import import_articles
from newswire_cli.commands.listen import listen
from newswire_cli.commands.portal_link import portal_link
from newswire_cli.commands.publish import publish
from newswire_cli.commands.redis_acl import redis_acl
from newswire_cli.commands.reindex import reindex
from newswire_cli.commands.rename_keys import rename_keys
from newswire_cli.commands.restore import restore
from newswire_cli.commands.run import run
from newswire_cli.commands.search import search
from newswire_cli.commands.serve import serve
from newswire_cli.commands.status import status
from newswire_cli.commands.subscribe import subscribe
from newswire_cli.commands.verify import verify
from newswire_cli.terminal.console import say

app = typer.Typer(
    name="newswire",
    help="Publish articles, search them, and subscribe to them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
PANELS: dict[str, dict[str, Callable[..., None]]] = {
    "Run": {"run": run, "serve": serve, "status": status, "doctor": doctor},
    "Publish and read": {
        "publish": publish,
        "search": search,
        "subscribe": subscribe,
        "listen": listen,
        "import": import_articles,
        "export": export,
    },
    "Operate": {"backup": backup, "restore": restore, "reindex": reindex, "verify": verify, "rename-keys": rename_keys},
}
"""The groups of commands in ``--help``."""
GROUPS = {
    "accounts": accounts,
    "users": users,
    "keys": keys,
    "audit": audit,
    "articles": articles,
    "drafts": drafts,
    "archive": archive,
    "media": media,
    "subscriptions": subscriptions,
    "newsletters": newsletters,
    "topics": topics,
    "dead-letters": dead_letters,
}
for panel, commands in PANELS.items():
    for name, command in commands.items():
        app.command(name, rich_help_panel=panel)(command)
app.command("portal-link", rich_help_panel="Administer")(portal_link)
app.command("redis-acl", rich_help_panel="Operate")(redis_acl)
app.command("elasticsearch-role", rich_help_panel="Operate")(elasticsearch_role)
for name, group in GROUPS.items():
    app.add_typer(group.app, name=name, rich_help_panel="Administer")


def _show_version(requested: bool) -> None:
    if requested:
        import platform
        from importlib.metadata import version

        say(f"newswire {version('newswire-cli')} (Python {platform.python_version()})")
        raise typer.Exit


@app.callback()
def newswire(
    version: Annotated[
        bool, typer.Option("--version", "-V", help="Print the version and exit.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """Publish articles, search them, and subscribe to them."""


if __name__ == "__main__":
    app()
