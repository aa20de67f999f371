"""`newswire status`: whether a running Newswire is wholly well."""

from pathlib import Path
from typing import Any

import typer

from newswire_cli.client.http import DEFAULT_SITE, Site, open_client
from newswire_cli.terminal.console import fail, say
from newswire_cli.terminal.json_output import Json, print_json
from newswire_cli.terminal.tables import print_table


def status(site: Site = DEFAULT_SITE, json: Json = False) -> None:
    """Show each check and background loop of a running Newswire. Exit code 1 if one of them fails."""
    import httpx

    from newswire_cli.client.retry import connection_error

    with open_client(site, None, Path(), None) as client:
        try:
            response = client.get("/status")
        except httpx.TransportError as error:
            fail(connection_error(client, error))
    try:
        answer: dict[str, Any] = response.json()
        checks: dict[str, str] = answer["checks"]
        loops: dict[str, str] = answer["loops"]
    except (ValueError, KeyError, TypeError):
        fail(
            f"{site} answers {response.status_code} to /status, which is not an answer of Newswire; "
            "behind the gateway of the full stack, use the operators' address, by default http://127.0.0.1:8001"
        )
    ok = response.status_code == 200
    if json:
        print_json({"ok": ok, "checks": checks, "loops": loops})
    else:
        say("ok" if ok else "degraded")
        failed_loops = {f"loop {name}": state for name, state in loops.items() if state != "ok"}
        print_table(["check", "state"], [[name, state] for name, state in (checks | failed_loops).items()])
    if not ok:
        raise typer.Exit(1)
