"""`newswire subscribe`: a webhook subscription to articles that are published from now on."""

from typing import Annotated, Any

import typer

from newswire_cli.client.http import (
    DEFAULT_DATA_DIR,
    DEFAULT_SITE,
    DataDir,
    Site,
    SubscriberKey,
    open_client,
    request_json,
)
from newswire_cli.terminal.console import say
from newswire_cli.terminal.json_output import Json, print_json


def subscribe(
    url: Annotated[str, typer.Argument(metavar="URL", help="The address that receives the webhooks.")],
    topics: Annotated[list[str] | None, typer.Option("--topic", help="A topic; repeatable.")] = None,
    query: Annotated[str | None, typer.Option(help="A query that articles have to match.")] = None,
    site: Site = DEFAULT_SITE,
    key: SubscriberKey = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: Json = False,
) -> None:
    """Subscribe an address to all articles published from now on, or to those of some topics or matching a query."""
    criteria = {name: value for name, value in (("topics", topics), ("query", query)) if value}
    document: dict[str, Any] = {"channel": {"type": "webhook", "url": url}}
    if criteria:
        document["filter"] = criteria
    with open_client(site, key, data_dir, "NEWSWIRE_SUBSCRIBER_KEY") as client:
        created = request_json(client, "POST", "/v1/subscriptions", json=document)
    if json:
        print_json(created)
        return
    say(f"id      {created['id']}")
    say(f"secret  {created['secret']}")
    say()
    say("The secret verifies signatures (Standard Webhooks). It cannot be shown again.")
