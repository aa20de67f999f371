"""`newswire search`: articles on a terminal."""

from datetime import datetime
from typing import Any

import httpx
from rich.console import Console
from rich.text import Text

from newswire.validation.characters import escaped
from newswire_cli.commands.http_request import ask, say_json


def search(
    client: httpx.Client, words: list[str], limit: int, filters: list[tuple[str, str]], *, as_json: bool
) -> None:
    """Print what a query finds, the best first: title, publisher, day and address of each article."""
    params = httpx.QueryParams((("q", " ".join(words)), ("limit", str(limit)), *filters))
    found = ask(client, "GET", "/v1/search", params=params)
    if as_json:
        say_json(found)
        return
    console = Console(highlight=False, soft_wrap=True)
    shown = len(found["articles"])
    console.print(Text(f"{found['total']} found" + (f", the first {shown}" if shown < found["total"] else ""), "dim"))
    for hint in found.get("hints", []):
        console.print(Text(escaped(hint["message"]), "yellow"))
    if found.get("suggestion"):
        console.print(Text(f"did you mean: {escaped(found['suggestion'])}", "yellow"))
    for article in found["articles"]:
        console.print(_lines(article))


def _lines(article: dict[str, Any]) -> Text:
    day = f"{datetime.fromisoformat(article['published_at']).astimezone():%Y-%m-%d}"
    return Text.assemble(
        "\n",
        (escaped(article["title"]), "bold"),
        "\n",
        (f"{day}  {escaped(article['publisher'])}  {escaped(article['url'])}", "dim"),
    )
