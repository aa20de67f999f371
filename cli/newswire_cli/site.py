"""How commands speak to a running Newswire by HTTP."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from newswire_cli.console import fail
from newswire_cli.datadir import read_credentials

if TYPE_CHECKING:
    import httpx

PATIENCE = 60.0

Site = Annotated[str, typer.Option(help="Where Newswire runs.", envvar="NEWSWIRE_PUBLIC_URL")]
Key = Annotated[
    str | None,
    typer.Option(
        help="A key of the publishing account; a command line is seen by others on the machine, a variable is not.",
        envvar="NEWSWIRE_PUBLISHER_KEY",
        show_default="the one in the data folder's credentials.env",
        show_envvar=True,
    ),
]
DataDir = Annotated[
    Path, typer.Option(help="The data folder of a `newswire run`.", envvar="NEWSWIRE_DATA_DIR", file_okay=False)
]


def open_client(site: str, key: str | None, data_dir: Path) -> "httpx.Client":
    """Make a client that sends the publisher's key, or end the command (exit code 2) where there is none."""
    import httpx

    key = key or read_credentials(data_dir.expanduser()).get("NEWSWIRE_PUBLISHER_KEY")
    if not key:
        fail("no key: set NEWSWIRE_PUBLISHER_KEY, or give --key, or name the --data-dir of a `newswire run`", code=2)
    if not site.startswith(("http://", "https://")):
        fail(f"{site} is no http or https address; give one by --site", code=2)
    headers = {"Authorization": f"Bearer {key}"}
    return httpx.Client(base_url=site, headers=headers, timeout=PATIENCE, trust_env=False)
