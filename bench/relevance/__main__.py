"""``python -m bench.relevance COLLECTION…``: the relevance of results, compared with plain Elasticsearch."""

import tempfile
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, ExitStack
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from bench.relevance.collection import Collection, read
from bench.relevance.report import DEPTH, Measured, Run, measured, show, store
from bench.relevance.systems import System, newswire, plain_elasticsearch
from bench.report import RESULTS
from bench.setting import allow_many_files
from newswire.http.application import run
from tests.servers.elasticsearch import ElasticsearchServer, ServerUnavailableError, elasticsearch_server


def main(
    collections: Annotated[list[Path], typer.Argument(exists=True, file_okay=False, help="Folders of collections.")],
    results: Annotated[Path, typer.Option(help="The file that the figures go to.")] = RESULTS
    / "latest"
    / "relevance.json",
) -> None:
    """Publish each collection to a fresh Newswire on each index and to plain Elasticsearch, and run all its queries on each."""
    allow_many_files()
    console = Console()
    figures: list[Measured] = []
    with (
        tempfile.TemporaryDirectory(prefix="newswire-relevance-", ignore_cleanup_errors=True) as folder,
        ExitStack() as stack,
        console.status("starting Elasticsearch …") as status,
    ):
        server = _elasticsearch(stack, console)

        async def each() -> None:
            for place in collections:
                collection = read(place)
                runs = []
                for name, system in _systems(collection, Path(folder), server).items():
                    status.update(f"{collection.name}, {name} …")
                    async with system() as opened:
                        runs.append(await _asked(name, opened, collection))
                figures.append(measured(collection, runs))
                show(console, figures[-1])

        run(each())
    store(results, figures)


Opening = Callable[[], AbstractAsyncContextManager[System]]


def _elasticsearch(stack: ExitStack, console: Console) -> ElasticsearchServer | None:
    try:
        return stack.enter_context(elasticsearch_server())
    except ServerUnavailableError as error:
        console.print(f"Elasticsearch is left out: {error}")
        return None


def _systems(collection: Collection, folder: Path, server: ElasticsearchServer | None) -> dict[str, Opening]:
    systems: dict[str, Opening] = {
        "Newswire, embedded": lambda: newswire(collection, folder, {"NEWSWIRE_INDEX": "embedded"})
    }
    if server:
        systems |= {
            "Newswire, Elasticsearch": lambda: newswire(collection, folder, server.environment()),
            "multi_match, standard": lambda: plain_elasticsearch(collection, server, "standard"),
            "multi_match, english": lambda: plain_elasticsearch(collection, server, "english"),
        }
    return systems


async def _asked(name: str, system: System, collection: Collection) -> Run:
    """Run every query twice: for all results that the measures need, and, warm, for the time of one page."""
    found = {id_: await system.find(words, DEPTH) for id_, words in collection.queries.items()}
    times = [await system.milliseconds(words) for words in collection.queries.values()]
    return Run(name, found, times)


if __name__ == "__main__":
    typer.run(main)
