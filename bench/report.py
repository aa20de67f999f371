"""Figures as a table on the terminal, as JSON, and in ``docs/performance.md``."""

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.figures import Figure
from bench.machine import load, machine

RESULTS = Path(__file__).with_name("results")
DOCUMENT = Path(__file__).parents[1] / "docs" / "performance.md"
BEGIN, END = "<!-- figures: made by `python -m bench --keep` -->", "<!-- end of figures -->"

LEAST_ROUNDS = 5
"""Fewer rounds say nothing about drift."""

Stored = Mapping[str, Any]


def store(path: str, figures: Iterable[Figure], folder: Path) -> None:
    """Write the figures of one path to ``<folder>/<path>.json``."""
    content = {
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
        "load_average_after": load(),
        "machine": machine(),
        "figures": [figure.as_json() for figure in figures],
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{path}.json").write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def show(console: Console, figures: Iterable[Figure]) -> None:
    """Print the figures as a table."""
    table = Table("path", "unit", "Newswire", "floor", "ratio", "goal", "")
    for figure in figures:
        table.add_row(*_cells(figure.as_json()))
    console.print(table)


def keep(groups: Mapping[str, Sequence[str]]) -> None:
    """Write the stored figures into the document: a heading and a table for each group of paths."""
    stored = {
        path: json.loads(file.read_text()) for path in _flat(groups) if (file := RESULTS / f"{path}.json").exists()
    }
    usual = max(stored.values(), key=lambda content: str(content["measured"]))["machine"] if stored else {}
    lines = [f"- {name}: {value}" for name, value in usual.items()]
    for heading, paths in groups.items():
        chosen = {path: stored[path] for path in paths if path in stored}
        lines += _section(heading, chosen, usual) if chosen else []
    lines += ["", *_drift([figure for content in stored.values() for figure in content["figures"]])]
    before, rest = DOCUMENT.read_text().split(BEGIN)
    _, after = rest.split(END)
    DOCUMENT.write_text("\n".join([before + BEGIN, "", *lines, "", END + after]))


def _flat(groups: Mapping[str, Sequence[str]]) -> list[str]:
    return [path for paths in groups.values() for path in paths]


def _section(heading: str, stored: Stored, usual: Stored) -> list[str]:
    """Return heading, circumstances and table of some paths."""
    figures = [figure for content in stored.values() for figure in content["figures"]]
    measured = [f"`{path}` {_circumstances(content, usual)}" for path, content in stored.items()]
    head = ["| path | unit | Newswire | floor | ratio | goal | |", "|---|---|--:|--:|--:|--:|---|"]
    rows = [f"| {' | '.join(_cells(figure, ranges=True))} |" for figure in figures]
    return ["", f"### {heading}", "", f"Measured: {', '.join(measured)}.", "", *head, *rows]


def _circumstances(content: Stored, usual: Stored) -> str:
    """Return when it was measured, and the processor where it is another one."""
    day = datetime.fromisoformat(content["measured"])
    processor = content["machine"]["processor"]
    return f"{day:%-d %B %Y}" + (f" on {processor}" if processor != usual["processor"] else "")


def _cells(figure: Stored, *, ranges: bool = False) -> list[str]:
    met = {True: "met", False: "short", None: ""}[figure.get("met")]
    detail = figure.get("detail", {})
    unit = figure["unit"]
    if "p95" in detail:
        unit += f" (p95 {_number(detail['p95'])}, p99 {_number(detail['p99'])})"
    ratio = f"{figure['ratio']:.2f}" if "ratio" in figure else ""
    return [
        figure["name"],
        unit,
        _number(figure["ours"]) + (_range(figure, 0) if ranges else ""),
        _number(figure.get("floor")) + (_range(figure, 1) if ranges else ""),
        ratio,
        figure.get("goal", ""),
        met,
    ]


def _range(figure: Stored, which: int) -> str:
    """Return the least and the greatest of several rounds: ours (0) or the floor's (1)."""
    detail = figure.get("detail", {})
    values = [pair[which] for pair in figure.get("rounds", ())]
    if not values and which == 0 and "lowest" in detail:
        values = [detail["lowest"], detail["highest"]]
    return f" ({_number(min(values))}–{_number(max(values))})" if len(values) > 1 else ""


def _drift(figures: Sequence[Stored]) -> list[str]:
    """Return a sentence on how much the floors varied, while nothing but the machine changed."""
    changes = {
        figure["name"]: (max(floors) / min(floors), min(floors), max(floors), figure["unit"])
        for figure in figures
        if len(floors := [floor for _, floor in figure.get("rounds", ())]) >= LEAST_ROUNDS and min(floors) > 0
    }
    if not changes:
        return []
    name, (change, least, most, unit) = max(changes.items(), key=lambda each: each[1][0])
    usual = statistics.median(ratio for ratio, *_ in changes.values())
    return [
        f"Drift: between the rounds of one row, the same floor varied by {usual:.2f} × in the median of {len(changes)} rows, "
        f"and by up to {change:.2f} × ({name}: {_number(least)}–{_number(most)} {unit}). Values of different rows were "
        "measured at different times: compare ratios."
    ]


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
