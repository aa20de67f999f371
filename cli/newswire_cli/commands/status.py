"""`newswire status`: whether a running Newswire can do its work."""

from typing import Any

import httpx

from newswire_cli.commands.http_request import say_json
from newswire_cli.console import fail, say
from newswire_cli.patience import unreachable
from newswire_cli.tables import show


def status(client: httpx.Client, *, as_json: bool) -> bool:
    """Print each readiness check of a site, and return whether all are ok."""
    try:
        response = client.get("/readyz")
    except httpx.TransportError as error:
        fail(unreachable(client, error))
    try:
        answer: dict[str, Any] = response.json()
        checks: dict[str, str] = answer["checks"]
    except (ValueError, KeyError, TypeError):
        fail(
            f"{client.base_url} answers {response.status_code} to /readyz, which is not Newswire's answer; "
            "behind the gateway of the full stack, ask the operators' address, by default http://127.0.0.1:8001"
        )
    if as_json:
        say_json({"ready": response.status_code == 200, "checks": checks})
    else:
        say("ready" if response.status_code == 200 else "not ready")
        show(["check", "state"], [[name, state] for name, state in checks.items()])
    return response.status_code == 200
