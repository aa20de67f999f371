"""`newswire verify`: compare the search index with the records."""

from typing import Annotated

import typer

from newswire_cli.client.redis import DataDir
from newswire_cli.terminal.json_output import Json


def verify(
    repair: Annotated[bool, typer.Option("--repair", help="Update the index where it differs.")] = False,
    json: Json = False,
    data_dir: DataDir = None,
) -> None:
    """Compare the index with the records, while Newswire works.

    Exit codes: 0: they agree, or agree after the repair; 1: they differ, and the output says how.
    """
    from newswire_cli.client.index_maintenance import verify_index

    if not verify_index(data_dir, repair=repair, as_json=json):
        raise typer.Exit(1)
