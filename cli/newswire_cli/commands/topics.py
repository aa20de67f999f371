"""`newswire topics`: list and merge the categories and topics of articles."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from newswire_cli.client.redis import DataDir, with_stores
from newswire_cli.terminal.console import fail, say
from newswire_cli.terminal.json_output import Json
from newswire_cli.terminal.tables import Record, member, print_records
from newswire_operations.stores import Stores

if TYPE_CHECKING:
    from newswire_ingest.labels.repository import Kind, Labels

app = typer.Typer(help="List and merge categories and topics.", no_args_is_help=True)


@app.command("list")
def list_(
    limit: Annotated[int, typer.Option(help="The maximum number of each kind.", min=1)] = 100,
    json: Json = False,
    data_dir: DataDir = None,
) -> None:
    """List categories and topics with the number of published articles that have each."""

    async def work(stores: Stores) -> list[Record]:
        counts = await _labels(stores).counts(limit)
        return [{"kind": kind} | asdict(label) for kind, labels in counts.items() for label in labels]

    columns = {"kind": member("kind"), "value": member("value"), "articles": member("count")}
    print_records(with_stores(data_dir, work), columns, as_json=json)


@app.command()
def merge(
    old: Annotated[str, typer.Argument(metavar="OLD")],
    new: Annotated[str, typer.Argument(metavar="NEW")],
    category: Annotated[bool, typer.Option("--category", help="Merge categories, not topics.")] = False,
    data_dir: DataDir = None,
) -> None:
    """Replace OLD by NEW in all versions from now on. Published articles keep OLD until their next version."""

    async def work(stores: Stores) -> str | None:
        from newswire.observability.audit import COMMAND_LINE

        kind: Kind = "category" if category else "topic"
        return await _labels(stores).merge(kind, old, " ".join(new.split()), by=COMMAND_LINE)

    label = with_stores(data_dir, work, writes=True)
    if label is None:
        fail(f"no article has {old}; `newswire topics list` lists the labels in use")
    say(f"{old} is replaced by {label} from now on")


def _labels(stores: Stores) -> "Labels":
    from newswire_ingest.articles.repository import publishing_functions
    from newswire_ingest.labels.repository import Labels

    return Labels(stores.redis, stores.keys, publishing_functions(stores.redis, stores.keys))
