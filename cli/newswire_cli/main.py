"""The command `newswire`. What a command needs is imported when it runs, so that ``--help`` answers at once."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from newswire_cli import accounts, articles, audit, deadletters, keys, store, subscriptions, topics
from newswire_cli.console import say
from newswire_cli.formats import ExportFormat, FormatName
from newswire_cli.site import DataDir, Key, Site, open_client

app = typer.Typer(
    name="newswire",
    help="Publish articles, search them, and hear of them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
RUN, ARTICLES, OPERATE, ADMINISTER = "Run", "Publish and read", "Operate", "Administer"
"""The groups of commands that ``--help`` shows."""
app.add_typer(accounts.app, name="accounts", rich_help_panel=ADMINISTER)
app.add_typer(keys.app, name="keys", rich_help_panel=ADMINISTER)
app.add_typer(audit.app, name="audit", rich_help_panel=ADMINISTER)
app.add_typer(articles.app, name="articles", rich_help_panel=ADMINISTER)
app.add_typer(subscriptions.app, name="subscriptions", rich_help_panel=ADMINISTER)
app.add_typer(topics.app, name="topics", rich_help_panel=ADMINISTER)
app.add_typer(deadletters.app, name="deadletters", rich_help_panel=ADMINISTER)

File = Annotated[Path, typer.Argument(metavar="FILE", dir_okay=False)]


class ServiceName(StrEnum):
    """What can be served alone: the services, and what answers operators for all of them."""

    INGEST = "ingest"
    SEARCH = "search"
    NOTIFY = "notify"
    OPERATIONS = "operations"


Host = Annotated[str, typer.Option(help="The address to listen on.")]
Port = Annotated[int, typer.Option(help="The port to listen on.", min=0, max=65535)]


Json = Annotated[bool, typer.Option("--json", help="Print the server's answer as JSON.")]
SubscriberKey = Annotated[
    str | None,
    typer.Option(
        help="A key of the subscribing account.",
        envvar="NEWSWIRE_SUBSCRIBER_KEY",
        show_default="the one in the data folder's credentials.env",
        show_envvar=True,
    ),
]
ReadKey = Annotated[
    str | None, typer.Option(help="A key of scope read, where reading is closed.", envvar="NEWSWIRE_READ_KEY")
]


def _show_version(wanted: bool) -> None:
    if wanted:
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
    """Publish articles, search them, and hear of them."""


@app.command(rich_help_panel=RUN)
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


@app.command(rich_help_panel=RUN)
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


@app.command(rich_help_panel=RUN)
def status(site: Site = "http://127.0.0.1:8000", json: Json = False) -> None:
    """Show whether a running Newswire can do its work; exit code 1 where it cannot."""
    from newswire_cli.commands.status import status as show_status

    with open_client(site, None, Path(), None) as client:
        if not show_status(client, as_json=json):
            raise typer.Exit(1)


@app.command(rich_help_panel=RUN)
def doctor(data_dir: DataDir = Path(".newswire"), json: Json = False) -> None:
    """Check this machine and the settings: Python, names and values of settings, disk, clock, Redis, Elasticsearch.

    Exit code 1 where something has to be changed.
    """
    from newswire_cli.commands.doctor import examine, show_findings

    if not show_findings(examine(data_dir), as_json=json):
        raise typer.Exit(1)


@app.command(rich_help_panel=ARTICLES)
def publish(
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="FILE",
            help="JSON as in POST /v1/articles (- for standard input), or Markdown, HTML, ninjs, NITF …",
            show_default=False,
        ),
    ] = None,
    title: Annotated[str | None, typer.Option(help="The title.")] = None,
    body: Annotated[str | None, typer.Option(help="The text, as HTML.")] = None,
    topics: Annotated[list[str] | None, typer.Option("--topic", help="A topic; repeatable.")] = None,
    category: Annotated[str | None, typer.Option(help="The category.")] = None,
    external_id: Annotated[
        str | None, typer.Option(help="Your own id: publishing it again changes the article.")
    ] = None,
    site: Site = "http://127.0.0.1:8000",
    key: Key = None,
    data_dir: DataDir = Path(".newswire"),
    json: Json = False,
) -> None:
    """Publish one article and print its address; options stand in for the file's members."""
    from newswire_cli.commands.publish import publish as publish_one

    given = {"title": title, "body": body, "topics": topics, "category": category, "external_id": external_id}
    members = {name: value for name, value in given.items() if value}
    with open_client(site, key, data_dir) as client:
        publish_one(client, file, members, as_json=json)


@app.command(rich_help_panel=ARTICLES)
def search(
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="QUERY …", help='For example: ferry OR "night train".', show_default="every article"),
    ] = None,
    limit: Annotated[int, typer.Option(help="How many articles to show.", min=1, max=100)] = 10,
    topics: Annotated[list[str] | None, typer.Option("--topic", help="A topic; repeatable.")] = None,
    site: Site = "http://127.0.0.1:8000",
    key: ReadKey = None,
    json: Json = False,
) -> None:
    """Search the published articles."""
    from newswire_cli.commands.search import search as search_articles

    with open_client(site, key, Path(), None) as client:
        search_articles(client, words or [], limit, [("topic", topic) for topic in topics or []], as_json=json)


@app.command(rich_help_panel=ARTICLES)
def subscribe(
    url: Annotated[str, typer.Argument(metavar="URL", help="Where webhooks are to be sent.")],
    topics: Annotated[list[str] | None, typer.Option("--topic", help="A topic; repeatable.")] = None,
    query: Annotated[str | None, typer.Option(help="A query that articles have to match.")] = None,
    site: Site = "http://127.0.0.1:8000",
    key: SubscriberKey = None,
    data_dir: DataDir = Path(".newswire"),
    json: Json = False,
) -> None:
    """Send a webhook for each article that is published from now on, or for those of some topics or of a query."""
    from newswire_cli.commands.subscribe import subscribe as make_subscription

    given = {"topics": topics, "query": query}
    criteria = {name: value for name, value in given.items() if value}
    with open_client(site, key, data_dir, "NEWSWIRE_SUBSCRIBER_KEY") as client:
        make_subscription(client, url, criteria, as_json=json)


@app.command(rich_help_panel=OPERATE)
def backup(file: File, data_dir: store.DataDir = None) -> None:
    """Write all that is kept into a new file, or to standard output (-), while Newswire works on."""
    from newswire_cli.backup import back_up

    back_up(file, data_dir)


@app.command(rich_help_panel=OPERATE)
def restore(file: File, data_dir: store.DataDir = None) -> None:
    """Put a backup (or standard input: -) into an empty installation: a fresh server, or a data folder that does not exist yet."""
    from newswire_cli.restore import restore as put_back

    put_back(file, data_dir)


@app.command(rich_help_panel=ARTICLES)
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
    secret: Annotated[
        str | None,
        typer.Option(
            metavar="whsec_…",
            help="Sign what is forwarded with this secret; by default a new one at each start.",
            envvar="NEWSWIRE_LISTEN_SECRET",
        ),
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

    follow(site, key, filters or [], since, forward, secret)


@app.command(rich_help_panel=OPERATE)
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


@app.command(rich_help_panel=OPERATE)
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


@app.command("import", rich_help_panel=ARTICLES)
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

    check(paths)
    with open_client(site, key, data_dir) as client:
        if dry_run:
            code = preview(client, paths, form, expired=expired)
        else:
            code = import_all(client, paths, form, silent=silent, expired=expired)
    raise typer.Exit(code)


@app.command(rich_help_panel=ARTICLES)
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

    with open_client(site, key, data_dir) as client:
        exporting.export(client, target, form, ["scheduled", "published"] if scheduled else ["published"])


if __name__ == "__main__":
    app()
