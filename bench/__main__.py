"""``python -m bench``: measures the hot paths, compared with their floors."""

import tempfile
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from bench import first_run
from bench.figures import Figure
from bench.paths import (
    cost,
    embargo,
    growth,
    hub,
    importing,
    indexgrowth,
    indexing,
    isolation,
    latency,
    live,
    live_single,
    mails,
    matching,
    pages,
    portal,
    publishing,
    searching,
    second_process,
    stalls,
    suggesting,
    tracing,
    webhooks,
)
from bench.report import RESULTS, keep, show, store
from bench.setting import Setting, allow_many_files
from newswire.http.application import run
from tests.servers.elasticsearch import ServerUnavailableError

PATHS: dict[str, Callable[[Setting], Awaitable[list[Figure]]]] = {
    "latency": latency.measure,
    "publishing": publishing.measure,
    "growth": growth.measure,
    "importing": importing.measure,
    "embargo": embargo.measure,
    "indexing": indexing.measure,
    "indexgrowth": indexgrowth.measure,
    "search": searching.measure,
    "suggest": suggesting.measure,
    "pages": pages.measure,
    "portal": portal.measure,
    "webhooks": webhooks.measure,
    "mails": mails.measure,
    "isolation": isolation.measure,
    "hub": hub.measure,
    "matching": matching.measure,
    "live": live.measure,
    "live-single": live_single.measure,
    "stalls": stalls.measure,
    "second-process": second_process.measure,
    "cost": cost.measure,
    "spans": tracing.measure,
}
GROUPS = {
    "From a publication to its readers": ("latency",),
    "Publishing": ("publishing", "growth", "importing", "embargo"),
    "Indexing": ("indexing", "indexgrowth"),
    "Search": ("search", "suggest"),
    "Pages of the reader site": ("pages",),
    "Pages of the portal": ("portal",),
    "Webhooks and the hub": ("webhooks", "isolation", "hub"),
    "Newsletters": ("mails",),
    "Matching": ("matching",),
    "Live stream": ("live", "live-single", "stalls"),
    "A second process": ("second-process",),
    "What a thousand articles cost": ("cost",),
    "Spans and metrics": ("spans",),
    "Starting": ("first-run",),
}
"""The paths under each heading of the document."""

app = typer.Typer(
    add_completion=False, pretty_exceptions_enable=False, help="Measure Newswire against the floors of its machine."
)


@app.callback(invoke_without_command=True)
def measure(
    context: typer.Context,
    only: Annotated[
        list[str] | None, typer.Option(help=f"One of {', '.join(PATHS)}; may be given several times.")
    ] = None,
    quick: Annotated[bool, typer.Option(help="Fewer and shorter rounds.")] = False,
    keep_: Annotated[bool, typer.Option("--keep", help="Put the figures into docs/performance.md.")] = False,
    corpus: Annotated[Path | None, typer.Option(help="Real articles, as gzipped JSON lines.", exists=True)] = None,
    subscriptions: Annotated[int, typer.Option(min=1000, help="Most that an article is matched against.")] = 100_000,
    filters: Annotated[int, typer.Option(min=1000, help="Distinct filters among them.")] = 5_000,
    readers: Annotated[int, typer.Option(min=10, help="Connections to the live stream.")] = 500,
    subscribers: Annotated[
        int, typer.Option(min=100, help="Subscribers of one feed at the hub.")
    ] = hub.GOAL_SUBSCRIBERS,
    articles: Annotated[
        int, typer.Option(min=growth.FEWEST, help="Most that are on record, or in an index, in what grows.")
    ] = 100_000,
    digests: Annotated[int, typer.Option(min=1000, help="Digests that are planned and composed.")] = 100_000,
    before: Annotated[
        Path | None, typer.Option(help="The `newswire` command of an earlier release, for `cost`.", exists=True)
    ] = None,
    results: Annotated[Path, typer.Option(help="Where the figures go, one file a path.")] = RESULTS / "latest",
) -> None:
    """Measure, and print the figures."""
    if context.invoked_subcommand:
        return
    if unknown := set(only or ()) - PATHS.keys():
        raise typer.BadParameter(f"{', '.join(unknown)}: not one of {', '.join(PATHS)}")
    allow_many_files()
    console = Console()
    chosen = list(only or PATHS)
    figures: list[Figure] = []
    with (
        tempfile.TemporaryDirectory(prefix="newswire-bench-", ignore_cleanup_errors=True) as folder,
        ExitStack() as stack,
        console.status("") as status,
    ):
        setting = Setting(
            Path(folder),
            stack,
            lambda what: status.update(f"{what} …"),
            quick,
            corpus,
            subscriptions,
            filters,
            readers,
            articles,
            subscribers,
            digests,
            before,
        )

        async def each() -> None:
            for path in chosen:
                try:
                    found = list(await PATHS[path](setting))
                except ServerUnavailableError as error:
                    console.print(f"{path} is left out: {error}")
                    continue
                store(path, found, RESULTS if keep_ else results)
                show(console, found)
                figures.extend(found)

        run(each())
    if keep_:
        keep(GROUPS)
    if not figures:
        raise typer.Exit(1)


@app.command("first-run")
def measure_first_run() -> None:
    """Measure the time from a fresh clone to the first page, that of a second start, and import times."""
    console = Console()
    with (
        tempfile.TemporaryDirectory(prefix="newswire-bench-", ignore_cleanup_errors=True) as folder,
        console.status("") as status,
    ):
        found = first_run.measure(Path(folder), lambda what: status.update(f"{what} …"))
    store("first-run", found, RESULTS)
    show(console, found)
    keep(GROUPS)


if __name__ == "__main__":
    app()
