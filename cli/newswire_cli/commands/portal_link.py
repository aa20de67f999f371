"""`newswire portal-link`: a one-time link to the portal."""

from datetime import timedelta
from typing import Annotated

import typer

from newswire_cli.client.http import DEFAULT_SITE, Site
from newswire_cli.client.redis import DataDir, with_stores
from newswire_cli.terminal.console import fail, note, say
from newswire_operations.stores import Stores

MAX_MINUTES = 24 * 60


def portal_link(
    account: Annotated[str, typer.Option(help="The account whose subscriptions the link opens.")],
    minutes: Annotated[int, typer.Option(min=1, max=MAX_MINUTES, help="How long it can be opened.")] = 60,
    site: Site = DEFAULT_SITE,
    data_dir: DataDir = None,
) -> None:
    """Print a one-time link to the portal of an account, alone on its line. It cannot be shown again."""

    async def work(stores: Stores) -> str:
        from newswire.auth.accounts import find_account
        from newswire.observability.audit import COMMAND_LINE
        from newswire_notify.portal.links import PortalLinks, link_address

        if await find_account(stores.redis, stores.keys, account) is None:
            fail(f"there is no account {account}; `newswire accounts list` lists them")
        links = PortalLinks(stores.redis, stores.keys)
        token = await links.create(account, timedelta(minutes=minutes), by=COMMAND_LINE)
        return link_address(site.rstrip("/"), token)

    link = with_stores(data_dir, work, writes=True)
    note(f"the link works once, within {minutes} minutes")
    say(link)
