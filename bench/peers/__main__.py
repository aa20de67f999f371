"""``python -m bench.peers``: Newswire and its peers in turns, at the same work on the same machine."""

import tempfile
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from bench.machine import load, machine
from bench.peers.contestants import Conditions
from bench.peers.report import keep, show, store
from bench.peers.rounds import Results, stream_rounds, webhook_rounds
from bench.report import RESULTS
from bench.setting import allow_many_files
from newswire.http.application import run

WORKS: dict[str, Callable[[Conditions, int, Results, Callable[[], None]], Coroutine[Any, Any, None]]] = {
    "webhooks": webhook_rounds,
    "streams": stream_rounds,
}
SECONDS = 4.0


def measure(
    only: Annotated[list[str] | None, typer.Option(help=f"One of {', '.join(WORKS)}.")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of all contestants.")] = 5,
    events: Annotated[int, typer.Option(min=100, help="Events to one endpoint each.")] = 10_000,
    readers: Annotated[int, typer.Option(min=10, help="Connections to each live stream.")] = 5_000,
    programs: Annotated[Path, typer.Option(help="Where the programs of peers are, or are built.")] = Path.home()
    / ".cache"
    / "newswire"
    / "peers",
    keep_: Annotated[bool, typer.Option("--keep", help="Put the figures into docs/performance.md.")] = False,
    results: Annotated[Path, typer.Option(help="Where the figures go.")] = RESULTS / "latest",
) -> None:
    """Measure Newswire and its peers, and print the figures."""
    chosen = only or list(WORKS)
    if unknown := set(chosen) - WORKS.keys():
        raise typer.BadParameter(f"{', '.join(unknown)}: not one of {', '.join(WORKS)}")
    allow_many_files()
    console, file = Console(), (RESULTS if keep_ else results) / "peers.json"
    with (
        tempfile.TemporaryDirectory(prefix="newswire-bench-", ignore_cleanup_errors=True) as folder,
        console.status("") as status,
    ):
        for work in chosen:
            place = Path(folder) / work
            place.mkdir()
            conditions = Conditions(
                place, programs, readers, 100, events, SECONDS, lambda what: status.update(f"{what} …")
            )
            measured = _measured(work, conditions, rounds, file)
            show(console, work, measured)
    if keep_:
        keep(file)


def _measured(work: str, conditions: Conditions, rounds: int, file: Path) -> dict[str, Any]:
    """Run one work; store the figures after each round."""
    results, before = Results(), load()

    def described() -> dict[str, Any]:
        return {
            "measured": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": machine(),
            "parameters": {"rounds": rounds, "events": conditions.singles, "readers": conditions.readers},
            "load_average_before": before,
            "load_average_after": load(),
        } | results.as_json()

    run(WORKS[work](conditions, rounds, results, lambda: store(file, work, described())))
    return described()


if __name__ == "__main__":
    typer.run(measure)
