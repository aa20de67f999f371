"""Tables: ruled for people, tab-separated where the output goes into a file or a pipe."""

import sys
from collections.abc import Sequence

from newswire.validation.characters import escaped
from newswire_cli.console import say


def show(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows under their columns' names."""
    if not sys.stdout.isatty():
        for row in (columns, *rows):
            say("\t".join(cell.replace("\t", " ").replace("\n", " ") for cell in row))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*columns, box=None, header_style="bold", pad_edge=False)
    for row in rows:
        table.add_row(*(Text(escaped(cell), overflow="fold") for cell in row))
    Console().print(table)
