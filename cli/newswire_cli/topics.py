"""`newswire topics`: the categories and topics that articles carry."""

from typing import TYPE_CHECKING, Annotated

import typer

from newswire_cli.console import fail, say
from newswire_cli.store import DataDir, Store, with_store

if TYPE_CHECKING:
    from newswire_ingest.labels.repository import Taxonomy

app = typer.Typer(help="List and merge categories and topics.", no_args_is_help=True)


@app.command("list")
def list_(
    limit: Annotated[int, typer.Option(help="How many of each kind at most.", min=1)] = 100, data_dir: DataDir = None
) -> None:
    """List categories and topics with the number of published articles that carry each."""

    async def work(store: Store) -> list[list[str]]:
        counts = await _taxonomy(store).counts(limit)
        return [[kind, label.value, str(label.count)] for kind, labels in counts.items() for label in labels]

    from newswire_cli.tables import show

    show(["kind", "value", "articles"], with_store(data_dir, work))


@app.command()
def merge(
    old: Annotated[str, typer.Argument(metavar="OLD")],
    new: Annotated[str, typer.Argument(metavar="NEW")],
    category: Annotated[bool, typer.Option("--category", help="Merge categories, not topics.")] = False,
    data_dir: DataDir = None,
) -> None:
    """Write OLD as NEW in all versions from now on; what is published keeps OLD until its next version."""

    async def work(store: Store) -> str | None:
        return await _taxonomy(store).merge("category" if category else "topic", old, " ".join(new.split()))

    spelling = with_store(data_dir, work)
    if spelling is None:
        fail(f"no article carried {old}; `newswire topics list` shows what they carry")
    say(f"{old} is written as {spelling} from now on")


def _taxonomy(store: Store) -> "Taxonomy":
    from newswire_ingest.articles.repository import publishing_functions
    from newswire_ingest.labels.repository import Taxonomy

    return Taxonomy(store.redis, store.keys, publishing_functions(store.redis, store.keys))
