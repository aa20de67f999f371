"""`newswire subscribe`: a webhook for what is published from now on."""

from typing import Any

import httpx

from newswire_cli.commands.http_request import ask, say_json
from newswire_cli.console import say


def subscribe(client: httpx.Client, url: str, criteria: dict[str, Any], *, as_json: bool) -> None:
    """Make a subscription and print its id and its secret, which is shown only now."""
    document: dict[str, Any] = {"channel": {"type": "webhook", "url": url}}
    if criteria:
        document["filter"] = criteria
    made = ask(client, "POST", "/v1/subscriptions", json=document)
    if as_json:
        say_json(made)
        return
    say(f"id      {made['id']}")
    say(f"secret  {made['secret']}")
    say()
    say("The secret verifies signatures (Standard Webhooks) and is not shown again.")
