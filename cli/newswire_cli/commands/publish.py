"""`newswire publish`: one article from a file, or from options."""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from newswire_cli.commands.http_request import ask, say_json
from newswire_cli.console import fail, say

MAX_BYTES = 10_000_000
"""Of a file; the server takes less of an article, and says how much."""


def publish(client: httpx.Client, file: Path | None, members: dict[str, Any], *, as_json: bool) -> None:
    """Publish the article of a file, with the members given as options in place of the file's, and print its address."""
    article = (_read(file) if file else {}) | members
    if not article:
        fail("nothing to publish: give a FILE, or --title and --body", code=2)
    answer = ask(client, "POST", "/v1/articles", json=article)
    if as_json:
        say_json(answer)
        return
    say(answer["url"])


def _read(file: Path) -> dict[str, Any]:
    if str(file) == "-":
        return _article(sys.stdin.read(MAX_BYTES + 1), "standard input")
    if not file.is_file():
        fail(f"there is no file {file}", code=2)
    if file.suffix.lower() == ".json":
        return _article(file.read_text("utf-8"), str(file))
    return _imported(file)


def _article(text: str, source: str) -> dict[str, Any]:
    if len(text) > MAX_BYTES:
        fail(f"{source} is larger than {MAX_BYTES // 1_000_000} MB")
    try:
        article = json.loads(text)
    except ValueError as error:
        fail(f"{source} is not JSON: {error}")
    if not isinstance(article, dict):
        fail(f"{source} holds no JSON object; many articles are published by `newswire import`")
    return article


def _imported(file: Path) -> dict[str, Any]:
    """Read a file in one of the formats that are imported: Markdown with front matter, HTML, ninjs, NITF and so on."""
    from newswire_cli.importing.reading import Reading
    from newswire_cli.importing.stories import Story

    found = list(Reading([str(file)], None, datetime.now(UTC)).found())
    stories = [each for each in found if isinstance(each, Story)]
    if len(stories) != 1 or len(found) != 1:
        reasons = "; ".join(each.reason for each in found if not isinstance(each, Story))
        fail(
            f"{file} holds {len(stories)} articles, not one{f' ({reasons})' if reasons else ''}; see `newswire import`"
        )
    return stories[0].draft
