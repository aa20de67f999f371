"""`newswire media`: upload images, list and delete them, and check that all stored ones are there and unchanged."""

from pathlib import Path
from typing import Annotated

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
from newswire_cli.client.redis import DataDir as StoreDir
from newswire_cli.client.redis import data_folder, with_stores
from newswire_cli.terminal.console import fail, say
from newswire_cli.terminal.json_output import Json, print_json
from newswire_cli.terminal.tables import member, print_records
from newswire_operations.stores import Stores

app = typer.Typer(help="Upload images for articles.", no_args_is_help=True)


@app.command()
def add(
    file: Annotated[Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False)],
    alt: Annotated[str | None, typer.Option(help="What it shows, for those who cannot see it.")] = None,
    caption: Annotated[str | None, typer.Option(help="The caption.")] = None,
    credit: Annotated[str | None, typer.Option(help="Who made it.")] = None,
    site: Site = DEFAULT_SITE,
    key: PublisherKey = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: Json = False,
) -> None:
    """Upload an image and print its address, for an article."""
    texts = {"alt": alt, "caption": caption, "credit": credit}
    given = {name: text for name, text in texts.items() if text is not None}
    with open_client(site, key, data_dir) as client, file.open("rb") as content:
        answer = request_json(client, "POST", "/v1/media", params=given, content=content)
    if json:
        print_json(answer)
    else:
        say(answer["url"])


@app.command("list")
def list_(
    limit: Annotated[int, typer.Option(help="The maximum number.", min=1)] = LIST_PAGE_SIZE,
    site: Site = DEFAULT_SITE,
    key: PublisherKey = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: Json = False,
) -> None:
    """List images, newest first, with how many articles and drafts use each."""
    with open_client(site, key, data_dir) as client:
        found = list(read_list(client, "/v1/media", "media", {}, limit))
    columns = {
        "id": member("id"),
        "width": member("width"),
        "height": member("height"),
        "uses": member("uses"),
        "alt": member("alt"),
    }
    print_records(found, columns, as_json=json)


@app.command()
def delete(
    media_id: Annotated[str, typer.Argument(metavar="ID")],
    site: Site = DEFAULT_SITE,
    key: PublisherKey = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Delete an image that no article and no draft uses."""
    with open_client(site, key, data_dir) as client:
        request_json(client, "DELETE", f"/v1/media/{media_id}")
    say(f"{media_id} is deleted")


@app.command()
def check(data_dir: StoreDir = None) -> None:
    """Read every stored image, in the folder or the bucket, and compare its SHA-256: after a restore, for example.

    Ends with exit code 1 if one is missing or changed.
    """

    async def work(stores: Stores) -> tuple[int, list[str], list[str]]:
        from newswire_ingest.media.composition import media_service
        from newswire_ingest.settings import IngestSettings

        settings = IngestSettings(data_dir=data_folder(data_dir).resolve())
        checked, missing, changed = 0, [], []
        async for name, state in media_service(stores.redis, stores.keys, settings).verify():
            checked += 1
            if state == "missing":
                missing.append(name)
            elif state == "changed":
                changed.append(name)
        return checked, missing, changed

    checked, missing, changed = with_stores(data_dir, work)
    for state, names in (("missing", missing), ("changed", changed)):
        for name in names:
            say(f"{state}  {name}")
    if missing or changed:
        fail(
            f"of {checked} images, {len(missing)} are missing and {len(changed)} are changed; restore them from a copy"
        )
    say(f"{checked} images are there and unchanged")
