"""``python -m tests.faults`` (`make drill`): runs every drill, then random ones for some minutes, each followed by the checker."""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections.abc import Coroutine
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from rich.console import Console

from tests.faults.drills import DRILLS, LOAD
from tests.faults.proxies import ToxiproxyUnavailableError
from tests.faults.run import Verdict, random_drills, run_drill
from tests.faults.stand import NotSettledError
from tests.servers.elasticsearch import elasticsearch_server

SHOWN = 10
console = Console(highlight=False, soft_wrap=True)


def judge(name: str, running: Coroutine[Any, Any, Verdict]) -> bool:
    """Run one drill, print its result, and return whether the checker found nothing."""
    began = time.monotonic()
    console.print(f"[bold]{name}[/]")
    try:
        verdict = asyncio.run(running)
    except (NotSettledError, ToxiproxyUnavailableError, AssertionError, OSError) as error:
        console.print(f"  [red]failed[/] after {time.monotonic() - began:.0f} s: {error!r}")
        return False
    what = f"[red]{len(verdict.found)} differences[/]" if verdict.found else "[green]clean[/]"
    console.print(f"  {what} after {time.monotonic() - began:.0f} s: {verdict.said}")
    for difference in verdict.found[:SHOWN]:
        console.print(f"     {difference}")
    return not verdict.found


def main() -> int:
    """Run the drills of the arguments; the exit code is 0 if the checker found nothing."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--only", default="", help="drills whose name holds this")
    parser.add_argument("--list", action="store_true", help="list the drills")
    parser.add_argument("--quick", action="store_true", help="the short form that the tests run")
    parser.add_argument("--random", type=float, default=10, metavar="MINUTES", help="random drills at the end; 0: none")
    parser.add_argument("--seed", type=int, help="repeat the random drills of this seed")
    parser.add_argument("--rate", type=float, default=50, help="articles a second")
    given = parser.parse_args()
    chosen = [drill for drill in DRILLS if given.only.lower() in drill.name.lower()]
    if given.list:
        console.print("\n".join(drill.name for drill in chosen))
        return 0
    seed = random.randrange(10**6) if given.seed is None else given.seed
    folder = Path(tempfile.mkdtemp(prefix="newswire-drill-"))
    console.print(f"{given.rate:g} articles/s, {LOAD}; seed {seed}")
    with ExitStack() as stack:
        with console.status("Elasticsearch starts"):
            elasticsearch = stack.enter_context(elasticsearch_server())
        clean = [
            judge(
                drill.name,
                run_drill(
                    drill,
                    folder / str(number),
                    elasticsearch,
                    seconds=drill.quick or drill.seconds if given.quick else drill.seconds,
                    rate=given.rate,
                    seed=seed,
                ),
            )
            for number, drill in enumerate(chosen)
        ]
        if given.random:
            running = random_drills(
                folder / "random",
                elasticsearch,
                minutes=given.random,
                rate=given.rate,
                seed=seed,
                told=lambda line: console.print(f"  {line}"),
            )
            clean.append(judge(f"random drills, {given.random:g} minutes, seed {seed}", running))
    console.print("[green]all clean[/]" if all(clean) else f"[red]not clean[/]; the logs are in {folder}")
    return 0 if all(clean) else 1


if __name__ == "__main__":
    sys.exit(main())
