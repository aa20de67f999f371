"""`newswire listen`: the live stream in a terminal, optionally forwarded to a local address."""

from typing import Annotated

import typer

from newswire_cli.client.http import DEFAULT_SITE, ReadKey
from newswire_cli.client.option_files import from_file
from newswire_cli.terminal.console import fail
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
            callback=from_file,
        ),
    ] = None,
    since: Annotated[str | None, typer.Option(help="Start at a time (RFC 3339), or after an id of the stream.")] = None,
    site: Annotated[
        str,
        typer.Option(
            "--site", "--url", help="The address of Newswire.", envvar="NEWSWIRE_PUBLIC_URL", callback=from_file
        ),
    ] = DEFAULT_SITE,
    key: ReadKey = None,
    json: Json = False,
) -> None:
    """Print each published event on one line, and optionally forward it to an address.

    With --json each line is the CloudEvent itself.
    """
    from newswire_notify.webhooks.signing import is_secret

    parameters = [_parameter(filter_) for filter_ in filters or []]
    if secret and not is_secret(secret):
        fail("--secret is malformed: it has to be whsec_ and 24 to 64 bytes in Base64, as in subscriptions", code=2)
    for address in (site, *([forward] if forward else [])):
        if not address.startswith(("http://", "https://")):
            fail(f"{address} is not an http or https address", code=2)
    from newswire_cli.client.live_stream import follow  # after the checks, since it takes long to import

    follow(site, key, parameters, since, forward, secret, as_json=json)


def _parameter(filter_: str) -> tuple[str, str]:
    name, sign, value = filter_.partition("=")
    if not sign or name in ("since", "token"):
        fail(f"{filter_} is not a filter; write for example --filter topic=Ferries", code=2)
    return name, value
