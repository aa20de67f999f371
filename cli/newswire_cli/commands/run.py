"""`newswire run`: all of Newswire in one process."""

from pathlib import Path
from typing import Annotated

import typer

Host = Annotated[str, typer.Option(help="The address to listen on.")]
Port = Annotated[int, typer.Option(help="The port to listen on.", min=0, max=65535)]


def run(
    host: Host = "127.0.0.1",
    port: Port = 8000,
    data_dir: Annotated[
        Path, typer.Option(help="The folder for all data.", envvar="NEWSWIRE_DATA_DIR", file_okay=False)
    ] = Path(".newswire"),
    no_samples: Annotated[bool, typer.Option("--no-samples", help="Publish no sample articles on the first start.")] = (
        False
    ),
    sign_in_link: Annotated[
        bool | None,
        typer.Option(
            help="Print a one-time link to sign in as the demo admin. Default: if only this machine can connect."
        ),
    ] = None,
) -> None:
    """Run all of Newswire in one process; nothing else is needed."""
    from newswire import garbage_collection

    garbage_collection.collect_rarely()  # before the services are imported
    from newswire_cli.local.run import is_loopback, run_all

    run_all(host, port, data_dir, not no_samples, is_loopback(host) if sign_in_link is None else sign_in_link)
