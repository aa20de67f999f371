"""`newswire search`: search the published articles on a terminal."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from newswire_cli.client.http import DEFAULT_SITE, ReadKey, Site, open_client, request_json
from newswire_cli.terminal.json_output import Json, print_json

if TYPE_CHECKING:
    from rich.text import Text


def search(
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="QUERY …", help='For example: ferry OR "night train".', show_default="every article"),
    ] = None,
    limit: Annotated[int, typer.Option(help="The maximum number of articles.", min=1, max=100)] = 10,
    topics: Annotated[list[str] | None, typer.Option("--topic", help="A topic; repeatable.")] = None,
    site: Site = DEFAULT_SITE,
    key: ReadKey = None,
    json: Json = False,
) -> None:
    """Search the published articles. Prints title, publisher, day and address of each, best match first."""
    import httpx

    filters = [("topic", topic) for topic in topics or []]
    params = httpx.QueryParams((("q", " ".join(words or [])), ("limit", str(limit)), *filters))
    with open_client(site, key, Path(), None) as client:
        found = request_json(client, "GET", "/v1/search", params=params)
    if json:
        print_json(found)
    else:
        _show(found)


def _show(found: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.text import Text

    from newswire.validation.characters import escaped

    console = Console(highlight=False, soft_wrap=True)
    shown = len(found["articles"])
    console.print(Text(f"{found['total']} found" + (f", the first {shown}" if shown < found["total"] else ""), "dim"))
    for hint in found.get("hints", []):
        console.print(Text(escaped(hint["message"]), "yellow"))
    if found.get("suggestion"):
        console.print(Text(f"did you mean: {escaped(found['suggestion'])}", "yellow"))
    for article in found["articles"]:
        console.print(_lines(article))


def _lines(article: dict[str, Any]) -> "Text":
    from datetime import datetime

    from rich.text import Text

    from newswire.validation.characters import escaped

    day = f"{datetime.fromisoformat(article['published_at']).astimezone():%Y-%m-%d}"
    return Text.assemble(
        "\n",
        (escaped(article["title"]), "bold"),
        "\n",
        (f"{day}  {escaped(article['publisher'])}  {escaped(article['url'])}", "dim"),
    )
