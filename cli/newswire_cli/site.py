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


def open_client(
    site: str, key: str | None, data_dir: Path, variable: str | None = "NEWSWIRE_PUBLISHER_KEY"
) -> "httpx.Client":
    """Make a client that sends a key: the one given, or the one of this name in the data folder's credentials.

    It ends the command (exit code 2) where there is none; without a ``variable``, what needs no key is asked without one.
    """
    import httpx

    if not key and variable:
        key = read_credentials(data_dir.expanduser()).get(variable)
        if not key:
            fail(f"no key: set {variable}, or give --key, or name the --data-dir of a `newswire run`", code=2)
    if not site.startswith(("http://", "https://")):
        fail(f"{site} is no http or https address; give one by --site", code=2)
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return httpx.Client(base_url=site, headers=headers, timeout=PATIENCE, trust_env=False)
