"""The command `newswire`. What a command needs is imported when it runs, so that ``--help`` answers at once."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from newswire_cli import accounts, deadletters, keys, topics
from newswire_cli.store import DataDir

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

File = Annotated[Path, typer.Argument(metavar="FILE", dir_okay=False)]


class ServiceName(StrEnum):
    """The services that can be served alone."""

    INGEST = "ingest"
    SEARCH = "search"
    NOTIFY = "notify"


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
        typer.Option(help="The port to listen on.", show_default="8001, 8002 or 8003", min=0, max=65535),
    ] = None,
) -> None:
    """Serve one service on its own, set by NEWSWIRE_… variables."""
    from newswire_cli.serve import serve_one

    serve_one(service.value, host, port)


@app.command()
def backup(file: File, data_dir: DataDir = None) -> None:
    """Write all that is kept into a new file, while Newswire works on."""
    from newswire_cli.backup import back_up

    back_up(file, data_dir)


@app.command()
def restore(file: File, data_dir: DataDir = None) -> None:
    """Put a backup into an empty installation: a fresh server, or a data folder that does not exist yet."""
    from newswire_cli.restore import restore as put_back

    put_back(file, data_dir)


if __name__ == "__main__":
    app()
