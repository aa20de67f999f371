"""How long a newcomer waits: a fresh clone to the first page, a second start, and what `newswire --help` and imports take."""

import os
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
TRIES = 7


def measure(folder: Path, tell: Callable[[str], None]) -> list[Figure]:
    """Return times in seconds."""
    figures: list[Figure] = []
    for name, environment in (("cold (pip's cache off)", {"PIP_NO_CACHE_DIR": "1"}), ("pip's cache warm", {})):
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
    figures.append(Figure("newswire --help", "s", _median([*NEWSWIRE, "--help"])))
    bare = _median([sys.executable, "-c", ""])
    for module in IMPORTS:
        took = _median([sys.executable, "-c", f"import {module}"])
        figures.append(Figure(f"import {module}", "s", took - bare))
    return figures


def _first_page(clone: Path, data: Path) -> float:
    """Start a clone's Newswire, and return after how many seconds its front page was there."""
    began = time.perf_counter()
    running = Running(data, command=[os.fspath(clone / ".venv" / "bin" / "newswire")])
    try:
        running.get("/").raise_for_status()
        return time.perf_counter() - began
    finally:
        running.interrupt()


def _median(command: list[str]) -> float:
    taken = []
    for _ in range(TRIES):
        began = time.perf_counter()
        subprocess.run(command, env=BARE, check=True, capture_output=True)
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)
