"""The time from a fresh clone to the first page, that of a second start, and that of `newswire --help` and imports."""

import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from bench.figures import Figure
from tests.cli.running import BARE, NEWSWIRE, Running

ROOT = Path(__file__).parents[1]
IMPORTS = ("newswire_ingest.app", "newswire_search.app", "newswire_notify.app")
NO_CACHES = {"PIP_NO_CACHE_DIR": "1", "UV_NO_CACHE": "1"}
TRIES = 7
SOON = 0.5


def measure(folder: Path, tell: Callable[[str], None]) -> list[Figure]:
    """Return times in seconds."""
    figures: list[Figure] = []
    for name, environment in (("cold (caches off)", NO_CACHES), ("caches warm", {})):
        tell(f"a fresh clone, {name}")
        clone = folder / f"clone-{len(figures)}"
        subprocess.run(["git", "clone", "--quiet", "--local", ROOT, clone], check=True)
        began = time.perf_counter()
        subprocess.run(
            ["make", "--silent", "install"], cwd=clone, env=BARE | environment, check=True, capture_output=True
        )
        first = _first_page(clone, clone / ".newswire")
        figures.append(
            Figure(f"fresh clone → first page, {name}", "s", time.perf_counter() - began, detail={"start": first})
        )
    tell("starting again")
    figures.append(Figure("second start → first page", "s", _first_page(clone, clone / ".newswire")))
    tell("imports")
    commands = {"newswire --help": [*NEWSWIRE, "--help"]}
    commands |= {f"import {module}": [sys.executable, "-c", f"import {module}"] for module in IMPORTS}
    for name, command in commands.items():
        took = _processor_time(command)
        figures.append(Figure(f"{name} (processor time)", "s", took, goal=f"< {SOON} s", met=took < SOON))
    return figures


def _first_page(clone: Path, data: Path) -> float:
    """Start Newswire from a clone, and return the seconds until its front page was available."""
    began = time.perf_counter()
    running = Running(data, command=[os.fspath(clone / ".venv" / "bin" / "newswire")])
    try:
        running.get("/").raise_for_status()
        return time.perf_counter() - began
    finally:
        running.interrupt()


def _processor_time(command: list[str]) -> float:
    """Return the processor time of a command in seconds, which does not depend on other processes."""
    taken = []
    for _ in range(TRIES):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, env=BARE, check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        taken.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return statistics.median(taken)
