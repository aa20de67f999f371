"""HTTP requests of commands to a running Newswire, and the options that name it and its keys."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from newswire_cli.client.option_files import from_file
from newswire_cli.local.data_dir import read_credentials
from newswire_cli.terminal.console import fail

if TYPE_CHECKING:
    import httpx

TIMEOUT_SECONDS = 60.0
LIST_PAGE_SIZE = 100
DEFAULT_SITE = "http://127.0.0.1:8000"
DEFAULT_DATA_DIR = Path(".newswire")

Site = Annotated[str, typer.Option(help="The address of Newswire.", envvar="NEWSWIRE_PUBLIC_URL", callback=from_file)]
PublisherKey = Annotated[
    str | None,
    typer.Option(
        "--key",
        help="A key of the publishing account. Other users of this machine can see command lines; prefer the variable.",
        envvar="NEWSWIRE_PUBLISHER_KEY",
        callback=from_file,
        show_default="the one in the data folder's credentials.env",
        show_envvar=True,
    ),
]
SubscriberKey = Annotated[
    str | None,
    typer.Option(
        "--key",
        help="A key of the subscribing account.",
        envvar="NEWSWIRE_SUBSCRIBER_KEY",
        callback=from_file,
        show_default="the one in the data folder's credentials.env",
        show_envvar=True,
    ),
]
ReadKey = Annotated[
    str | None,
    typer.Option(
        "--key",
        help="A key of scope read, required if reading is not public.",
        envvar="NEWSWIRE_READ_KEY",
        callback=from_file,
    ),
]
DataDir = Annotated[
    Path, typer.Option(help="The data folder of a `newswire run`.", envvar="NEWSWIRE_DATA_DIR", file_okay=False)
]


def open_client(
    site: str, key: str | None, data_dir: Path, variable: str | None = "NEWSWIRE_PUBLISHER_KEY"
) -> "httpx.Client":
    """Return a client that sends the given key, or the key named by ``variable`` in the data folder's credentials.

    Ends the command (exit code 2) if there is no key, or if ``site`` is no address. With ``variable=None`` no key is required.
    """
    import httpx

    if not key and variable:
        key = read_credentials(data_dir.expanduser()).get(variable)
        if not key:
            fail(f"no key: set {variable}, or give --key, or the --data-dir of a `newswire run`", code=2)
    if not site.startswith(("http://", "https://")):
        fail(f"{site} is not an http or https address; give one by --site", code=2)
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return httpx.Client(base_url=site, headers=headers, timeout=TIMEOUT_SECONDS, trust_env=False)


def request_json(client: "httpx.Client", method: str, path: str, **options: Any) -> Any:
    """Return the JSON of a response of status 200 to 299. Any other response ends the command with the server's message."""
    import httpx

    from newswire_cli.client.retry import connection_error

    try:
        response = client.request(method, path, **options)
    except httpx.TransportError as error:
        fail(connection_error(client, error))
    if not response.is_success:
        fail(error_message(response))
    return response.json() if response.content else None


def read_list(
    client: "httpx.Client", path: str, member: str, parameters: Mapping[str, Any], limit: int | None
) -> Iterator[dict[str, Any]]:
    """Yield up to ``limit`` elements of a list, page by page: those in a member of each response."""
    wanted, left = dict(parameters), limit
    while left is None or left > 0:
        wanted["limit"] = LIST_PAGE_SIZE if left is None else min(left, LIST_PAGE_SIZE)
        page = request_json(client, "GET", path, params=wanted)
        yield from page[member]
        if page["next_cursor"] is None:
            return
        wanted["cursor"] = page["next_cursor"]
        left = None if left is None else left - len(page[member])


def error_message(response: "httpx.Response") -> str:
    """Return the message of a problem document (RFC 9457): each field's problem and remedy, or else the detail."""
    message = f"{response.request.url} answers {response.status_code}"
    try:
        problem = response.json()
        errors = [f"{each['field']}: {each['problem']} ({each['fix']})" for each in problem.get("errors", [])]
        return f"{message}: {'; '.join(errors) or problem['detail']}"
    except (ValueError, KeyError, TypeError, AttributeError):
        return message
