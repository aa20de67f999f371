"""The command `newswire`. What a command needs is imported when it runs, so that ``--help`` answers at once."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from newswire_cli import accounts, articles, audit, deadletters, keys, store, subscriptions, topics
from newswire_cli.formats import ExportFormat, FormatName
from newswire_cli.site import DataDir, Key, Site

app = typer.Typer(
    name="newswire",
    help="Publish articles, search them, and hear of them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(accounts.app, name="accounts")
app.add_typer(keys.app, name="keys")
app.add_typer(audit.app, name="audit")
app.add_typer(articles.app, name="articles")
app.add_typer(subscriptions.app, name="subscriptions")
app.add_typer(topics.app, name="topics")
app.add_typer(deadletters.app, name="deadletters")

File = Annotated[Path, typer.Argument(metavar="FILE", dir_okay=False)]


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


@app.command()
def backup(file: File, data_dir: store.DataDir = None) -> None:
    """Write all that is kept into a new file, or to standard output (-), while Newswire works on."""
    from newswire_cli.backup import back_up

    back_up(file, data_dir)


@app.command()
def restore(file: File, data_dir: store.DataDir = None) -> None:
    """Put a backup (or standard input: -) into an empty installation: a fresh server, or a data folder that does not exist yet."""
    from newswire_cli.restore import restore as put_back

    put_back(file, data_dir)


@app.command()
def listen(
    filters: Annotated[
        list[str] | None,
        typer.Option(
            "--filter", metavar="NAME=VALUE", help="One of the stream's filters, e.g. topic=Ferries; repeatable."
        ),
    ] = None,
    forward: Annotated[
        str | None, typer.Option(metavar="URL", help="Post each event there, signed as a webhook.")
    ] = None,
    since: Annotated[str | None, typer.Option(help="Begin at a time (RFC 3339), or after an id of the stream.")] = None,
    site: Annotated[
        str, typer.Option("--site", "--url", help="Where Newswire runs.", envvar="NEWSWIRE_PUBLIC_URL")
    ] = "http://127.0.0.1:8000",
    key: Annotated[
        str | None, typer.Option(help="A key of scope read, where reading is closed.", envvar="NEWSWIRE_READ_KEY")
    ] = None,
) -> None:
    """Follow what is published, one line an event, and forward it to an address of your own."""
    from newswire_cli.listening import listen as follow

    follow(site, key, filters or [], since, forward)


@app.command()
def reindex(
    drop_old: Annotated[
        bool, typer.Option("--drop-old", help="Only delete the indexes that are not in use any more.")
    ] = False,
    abandon: Annotated[
        bool, typer.Option("--abandon", help="Only give up a new index that was begun and not ended.")
    ] = False,
    data_dir: store.DataDir = None,
) -> None:
    """Make a new index from the records and put it in the place of the old one, while Newswire works on.

    What was broken off is taken up. The old index is kept until it is dropped.
    """
    from newswire_cli import upkeep

    if drop_old and abandon:
        raise typer.BadParameter("give either --drop-old or --abandon")
    if drop_old:
        upkeep.drop_old(data_dir)
    elif abandon:
        upkeep.give_up(data_dir)
    else:
        upkeep.make_new_index(data_dir)


@app.command()
def verify(
    mend: Annotated[bool, typer.Option("--mend", help="Bring the index to what is on record.")] = False,
    data_dir: store.DataDir = None,
) -> None:
    """Compare the index with the records, while Newswire works on.

    Exit code 0: they agree, or agree now; 1: they differ, and how is said.
    """
    from newswire_cli.upkeep import compare

    if not compare(data_dir, mend=mend):
        raise typer.Exit(1)


@app.command("import")
def import_(
    paths: Annotated[
        list[str], typer.Argument(metavar="PATH|URL …", help="Files, folders or addresses.", show_default=False)
    ],
    form: Annotated[
        FormatName | None,
        typer.Option("--format", help="What it is.", show_default="told from the content"),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Change nothing; show what would happen.")] = False,
    silent: Annotated[bool, typer.Option(help="Tell no subscriber of what is imported.")] = True,
    expired: Annotated[bool, typer.Option("--expired", help="Import what has expired in its source, too.")] = False,
    site: Site = "http://127.0.0.1:8000",
    key: Key = None,
    data_dir: DataDir = Path(".newswire"),
) -> None:
    """Import articles from WordPress, feeds, ninjs, NITF, NewsML-G2, Markdown, HTML or NDJSON.

    Articles are known again by their external id, so that the same import may run again, also after it was broken off.
    Exit code 0: all well; 1: something failed, and what is said; 2: wrongly called.
    """
    from newswire_cli.importing.command import check, import_all, preview
    from newswire_cli.site import open_client

    check(paths)
    with open_client(site, key, data_dir) as client:
        if dry_run:
            code = preview(client, paths, form, expired=expired)
        else:
            code = import_all(client, paths, form, silent=silent, expired=expired)
    raise typer.Exit(code)


@app.command()
def export(
    target: Annotated[
        Path | None,
        typer.Argument(
            metavar="FILE", help="Where to write; .gz and .zst are compressed.", show_default="stdout", dir_okay=False
        ),
    ] = None,
    form: Annotated[ExportFormat, typer.Option("--format", help="How each article is written, one a line.")] = (
        ExportFormat.NDJSON
    ),
    scheduled: Annotated[bool, typer.Option("--scheduled", help="Articles that are not out yet, too.")] = False,
    site: Site = "http://127.0.0.1:8000",
    key: Key = None,
    data_dir: DataDir = Path(".newswire"),
) -> None:
    """Export the account's own articles, newest first, as `newswire import` reads them."""
    from newswire_cli import exporting
    from newswire_cli.site import open_client

    with open_client(site, key, data_dir) as client:
        exporting.export(client, target, form, ["scheduled", "published"] if scheduled else ["published"])


if __name__ == "__main__":
    app()
