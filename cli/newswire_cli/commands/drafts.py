"""`newswire drafts`: list the drafts of an account, show one, discard it, and export all of them."""

import sys
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer

from newswire_cli.client.http import (
    DEFAULT_DATA_DIR,
    DEFAULT_SITE,
    LIST_PAGE_SIZE,
    DataDir,
    PublisherKey,
    Site,
    open_client,
    read_list,
    request_json,
)
from newswire_cli.terminal.console import fail, say
from newswire_cli.terminal.json_output import Json, print_json
from newswire_cli.terminal.tables import member, print_records

if TYPE_CHECKING:
    import httpx

app = typer.Typer(help="See and export drafts; people write them on the desk.", no_args_is_help=True)
PATH = "/v1/drafts"

Id = Annotated[str, typer.Argument(metavar="ID")]


class State(StrEnum):
    """The states by which drafts are listed."""

    OPEN = "open"
    SCHEDULED = "scheduled"
    PUBLISHED = "published"
    DISCARDED = "discarded"


@app.command("list")
def list_(
    state: Annotated[
        State | None, typer.Option(help="Only drafts in this state; by default all but discarded ones.")
    ] = None,
    text: Annotated[str | None, typer.Option(help="Only drafts with these words in the title.")] = None,
    limit: Annotated[int, typer.Option(help="The maximum number.", min=1)] = LIST_PAGE_SIZE,
    site: Site = DEFAULT_SITE,
    key: PublisherKey = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: Json = False,
) -> None:
    """List the drafts of the account, those changed last first."""
    with open_client(site, key, data_dir) as client:
        found = list(_drafts(client, state, text, limit))
    columns = {
        "id": member("id"),
        "state": member("state"),
        "title": member("title"),
        "revision": member("revision"),
        "changed": member("updated_at"),
        "by": lambda draft: draft["updated_by"]["name"],
    }
    print_records(found, columns, as_json=json)


@app.command()
def show(
    draft_id: Id,
    site: Site = DEFAULT_SITE,
    key: PublisherKey = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: Json = False,
) -> None:
    """Show a draft with its text."""
    with open_client(site, key, data_dir) as client:
        draft = request_json(client, "GET", _path(draft_id))
    if json:
        print_json(draft)
        return
    say(f"{draft['title'] or '(no title)'}")
    say(
        f"{draft['state']}, revision {draft['revision']}, changed {draft['updated_at']} by {draft['updated_by']['name']}"
    )
    for name, value in draft["content"].items():
        if name not in ("title", "body"):
            say(f"{name}: {value}")
    say(f"\n{draft['content']['body']}")


@app.command()
def discard(
    draft_id: Id, site: Site = DEFAULT_SITE, key: PublisherKey = None, data_dir: DataDir = DEFAULT_DATA_DIR
) -> None:
    """Discard a draft. It can be recovered on the desk for some time, and its article stays as it is."""
    with open_client(site, key, data_dir) as client:
        request_json(client, "DELETE", _path(draft_id))
    say(f"{draft_id} is discarded")


@app.command()
def export(
    target: Annotated[
        Path | None,
        typer.Argument(metavar="FILE", help="The file to write.", show_default="stdout", dir_okay=False),
    ] = None,
    state: Annotated[
        State | None, typer.Option(help="Only drafts in this state; by default all but discarded ones.")
    ] = None,
    site: Site = DEFAULT_SITE,
    key: PublisherKey = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Write all drafts with their texts, one JSON document on each line. The file appears once it is complete."""
    import orjson

    unfinished = target.with_name(f"{target.name}.unfinished") if target else None
    count = 0
    try:
        with (
            open_client(site, key, data_dir) as client,
            unfinished.open("wb") if unfinished else sys.stdout.buffer as file,
        ):
            for listed in _drafts(client, state, None, None):
                draft = request_json(client, "GET", _path(listed["id"]))
                file.write(orjson.dumps(draft, option=orjson.OPT_APPEND_NEWLINE))
                count += 1
        if unfinished and target:
            unfinished.replace(target)
    except OSError as error:
        fail(f"cannot write {target or 'to stdout'}: {error.strerror or error}")
    finally:
        if unfinished:
            unfinished.unlink(missing_ok=True)
    print(f"{count:,} drafts exported", file=sys.stderr)


def _drafts(
    client: "httpx.Client", state: State | None, text: str | None, limit: int | None
) -> Iterator[dict[str, Any]]:
    """Yield drafts as lists have them."""
    chosen = ({"state": state.value} if state else {}) | ({"text": text} if text else {})
    return read_list(client, PATH, "drafts", chosen, limit)


def _path(draft_id: str) -> str:
    return f"{PATH}/{quote(draft_id, safe='')}"
