"""The command `newswire`. What a command needs is imported when it runs, so that ``--help`` answers at once."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from newswire_cli import accounts, deadletters, keys, topics

app = typer.Typer(
    name="newswire",
    help="Publish articles, search them, and hear of them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(accounts.app, name="accounts")
app.add_typer(keys.app, name="keys")
app.add_typer(topics.app, name="topics")
app.add_typer(deadletters.app, name="deadletters")


class ServiceName(StrEnum):
    """What can be served alone: the services, and what answers operators for all of them."""

    INGEST = "ingest"
    SEARCH = "search"
    NOTIFY = "notify"
    OPERATIONS = "operations"


Host = Annotated[str, typer.Option(help="The address to listen on.")]
Port = Annotated[int, typer.Option(help="The port to listen on.", min=0, max=65535)]


@app.command()
def run(
    host: Host = "127.0.0.1",
    port: Port = 8000,
    data_dir: Annotated[
        Path, typer.Option(help="Where everything is kept.", envvar="NEWSWIRE_DATA_DIR", file_okay=False)
    ] = Path(".newswire"),
    no_samples: Annotated[bool, typer.Option("--no-samples", help="Publish no sample articles at first.")] = False,
) -> None:
    """Run all of Newswire in one process; nothing else is needed."""
    from newswire_cli.run import run_all

    run_all(host, port, data_dir, not no_samples)


@app.command()
def serve(
    service: ServiceName,
    host: Host = "127.0.0.1",
    port: Annotated[
        int | None,
        typer.Option(help="The port to listen on.", show_default="8001 to 8004", min=0, max=65535),
    ] = None,
) -> None:
    """Serve one service on its own, or `operations`: health, metrics and API documents of all three."""
    from newswire_cli.serve import serve_one

    serve_one(service.value, host, port)


if __name__ == "__main__":
    app()
