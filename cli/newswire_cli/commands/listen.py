"""`newswire listen`: the live stream in a terminal, optionally forwarded to a local address."""

from typing import Annotated

import typer

from newswire_cli.client.http import DEFAULT_SITE, ReadKey
from newswire_cli.terminal.json_output import Json


def listen(
    filters: Annotated[
        list[str] | None,
        typer.Option(
            "--filter", metavar="NAME=VALUE", help="One of the stream's filters, e.g. topic=Ferries; repeatable."
        ),
    ] = None,
    forward: Annotated[
        str | None, typer.Option(metavar="URL", help="POST each event to this address, signed as a webhook.")
    ] = None,
    secret: Annotated[
        str | None,
        typer.Option(
            metavar="whsec_…",
            help="The secret that signs forwarded events; by default a new one on each start.",
            envvar="NEWSWIRE_LISTEN_SECRET",
        ),
    ] = None,
    since: Annotated[str | None, typer.Option(help="Start at a time (RFC 3339), or after an id of the stream.")] = None,
    site: Annotated[
        str, typer.Option("--site", "--url", help="The address of Newswire.", envvar="NEWSWIRE_PUBLIC_URL")
    ] = DEFAULT_SITE,
    key: ReadKey = None,
    json: Json = False,
) -> None:
    """Print each published event on one line, and optionally forward it to an address.

    With --json each line is the CloudEvent itself.
    """
    from newswire_cli.client.live_stream import follow

    follow(site, key, filters or [], since, forward, secret, as_json=json)
