"""`newswire import`: articles from files and feeds of other systems."""

from pathlib import Path
from typing import Annotated

import typer

from newswire_cli.client.http import DEFAULT_DATA_DIR, DEFAULT_SITE, DataDir, PublisherKey, Site, open_client
from newswire_cli.terminal.console import fail
from newswire_cli.terminal.json_output import Json
from newswire_ingest.importing.format_names import FormatName


def import_articles(
    paths: Annotated[
        list[str], typer.Argument(metavar="PATH|URL …", help="Files, folders or addresses.", show_default=False)
    ],
    format_: Annotated[
        FormatName | None,
        typer.Option("--format", help="The format.", show_default="detected from the content"),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Change nothing; show what would happen.")] = False,
    silent: Annotated[bool, typer.Option(help="Notify no subscriber of imported articles.")] = True,
    expired: Annotated[bool, typer.Option("--expired", help="Import articles that have expired, too.")] = False,
    site: Site = DEFAULT_SITE,
    key: PublisherKey = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: Json = False,
) -> None:
    """Import articles from WordPress, feeds, ninjs, NITF, NewsML-G2, Markdown, HTML or NDJSON.

    Articles are identified by their external id, so an import can be repeated, also after an interruption.
    Exit codes: 0: success; 1: some articles failed, and the output names them; 2: wrong arguments.
    """
    from newswire_ingest.importing.input_files import is_url

    for path in paths:
        if not is_url(path) and not Path(path).exists():
            fail(f"there is no {path}", code=2)
    with open_client(site, key, data_dir) as client:
        # after the checks, since they take long to import
        from newswire_cli.importing.dry_run import dry_run as run_dry
        from newswire_cli.importing.run import import_all

        if dry_run:
            code = run_dry(client, paths, format_, expired=expired, as_json=json)
        else:
            code = import_all(client, paths, format_, silent=silent, expired=expired, as_json=json)
    raise typer.Exit(code)
