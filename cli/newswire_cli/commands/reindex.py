"""`newswire reindex`: build a new search index from the records."""

from typing import Annotated

import typer

from newswire_cli.client.redis import DataDir


def reindex(
    drop_old: Annotated[
        bool, typer.Option("--drop-old", help="Only delete the indexes that are no longer in use.")
    ] = False,
    abandon: Annotated[bool, typer.Option("--abandon", help="Only delete a new index that is not finished.")] = False,
    data_dir: DataDir = None,
) -> None:
    """Build a new index from the records and activate it, while Newswire works.

    An interrupted build is continued. The old index is kept until it is dropped.
    """
    if drop_old and abandon:
        raise typer.BadParameter("give either --drop-old or --abandon")
    from newswire_cli.client import index_maintenance  # after the check, since it takes long to import

    if drop_old:
        index_maintenance.drop_old_indexes(data_dir)
    elif abandon:
        index_maintenance.abandon_new_index(data_dir)
    else:
        index_maintenance.build_new_index(data_dir)
