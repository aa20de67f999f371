"""One HTTP request of a command, and the one clear line where it fails."""

from typing import Any

import httpx
import orjson

from newswire_cli.console import fail, say
from newswire_cli.patience import unreachable


def ask(client: httpx.Client, method: str, path: str, **more: Any) -> Any:
    """Return the JSON of a response with a status of 200 to 299; any other ends the command with what the server says."""
    try:
        response = client.request(method, path, **more)
    except httpx.TransportError as error:
        fail(unreachable(client, error))
    if not response.is_success:
        fail(refusal(response))
    return response.json() if response.content else None


def refusal(response: httpx.Response) -> str:
    """Return what a problem document (RFC 9457) says: each field's problem with its remedy, or the detail."""
    said = f"{response.request.url} answers {response.status_code}"
    try:
        problem = response.json()
        errors = [f"{each['field']}: {each['problem']} ({each['fix']})" for each in problem.get("errors", [])]
        return f"{said}: {'; '.join(errors) or problem['detail']}"
    except (ValueError, KeyError, TypeError, AttributeError):
        return said


def say_json(value: Any) -> None:
    """Print a value as indented JSON, for programs and for `jq`."""
    say(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())
