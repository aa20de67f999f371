"""`newswire publish`: one article from a file, or from options."""

import json as json_
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from newswire_cli.client.http import (
    DEFAULT_DATA_DIR,
    DEFAULT_SITE,
    DataDir,
    PublisherKey,
    Site,
    open_client,
    request_json,
)
from newswire_cli.terminal.console import fail, say
from newswire_cli.terminal.json_output import Json, print_json

MAX_FILE_BYTES = 10_000_000
"""The server accepts less for one article, and its error says how much."""


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
        str | None, typer.Option(help="Your own id: publishing it again updates the article.")
    ] = None,
    site: Site = DEFAULT_SITE,
    key: PublisherKey = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: Json = False,
) -> None:
    """Publish one article and print its address. Options replace members of the file."""
    given = {"title": title, "body": body, "topics": topics, "category": category, "external_id": external_id}
    with open_client(site, key, data_dir) as client:
        article = (_read(file) if file else {}) | {name: value for name, value in given.items() if value}
        if not article:
            fail("nothing to publish: give a FILE, or --title and --body", code=2)
        answer = request_json(client, "POST", "/v1/articles", json=article)
    if json:
        print_json(answer)
    else:
        say(answer["url"])


def _read(file: Path) -> dict[str, Any]:
    if str(file) == "-":
        return _parse(sys.stdin.read(MAX_FILE_BYTES + 1), "standard input")
    if not file.is_file():
        fail(f"there is no file {file}", code=2)
    if file.suffix.lower() == ".json":
        return _parse(file.read_text("utf-8"), str(file))
    return _import(file)


def _parse(text: str, source: str) -> dict[str, Any]:
    if len(text) > MAX_FILE_BYTES:
        fail(f"{source} is larger than {MAX_FILE_BYTES // 1_000_000} MB")
    try:
        article = json_.loads(text)
    except ValueError as error:
        fail(f"{source} is not JSON: {error}")
    if not isinstance(article, dict):
        fail(f"{source} does not contain a JSON object; use `newswire import` for many articles")
    return article


def _import(file: Path) -> dict[str, Any]:
    """Read a file in one of the import formats: Markdown with front matter, HTML, ninjs, NITF and so on."""
    from newswire_ingest.importing.models import SourceArticle
    from newswire_ingest.importing.reader import ImportReader

    found = list(ImportReader([str(file)], None, datetime.now(UTC)).found())
    articles = [each for each in found if isinstance(each, SourceArticle)]
    if len(articles) != 1 or len(found) != 1:
        reasons = "; ".join(each.reason for each in found if not isinstance(each, SourceArticle))
        fail(
            f"{file} contains {len(articles)} articles, not one{f' ({reasons})' if reasons else ''}; see `newswire import`"
        )
    return articles[0].draft
