"""`newswire status`: whether a running Newswire is ready."""

from pathlib import Path
from typing import Any

import typer

from newswire_cli.client.http import DEFAULT_SITE, Site, open_client
from newswire_cli.terminal.console import fail, say
from newswire_cli.terminal.json_output import Json, print_json
from newswire_cli.terminal.tables import print_table


def status(site: Site = DEFAULT_SITE, json: Json = False) -> None:
    """Show each readiness check of a running Newswire. Exit code 1 if it is not ready."""
    import httpx

    from newswire_cli.client.retry import connection_error

    with open_client(site, None, Path(), None) as client:
        try:
            response = client.get("/readyz")
        except httpx.TransportError as error:
            fail(connection_error(client, error))
    try:
        answer: dict[str, Any] = response.json()
        checks: dict[str, str] = answer["checks"]
    except (ValueError, KeyError, TypeError):
        fail(
            f"{site} answers {response.status_code} to /readyz, which is not an answer of Newswire; "
            "behind the gateway of the full stack, use the operators' address, by default http://127.0.0.1:8001"
        )
    ready = response.status_code == 200
    if json:
        print_json({"ready": ready, "checks": checks})
    else:
        say("ready" if ready else "not ready")
        print_table(["check", "state"], [[name, state] for name, state in checks.items()])
    if not ready:
        raise typer.Exit(1)
