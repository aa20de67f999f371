"""Figures as a table on the terminal, as JSON, and in ``docs/performance.md``."""

import json
from collections.abc import Iterable, Mapping
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


def keep(paths: Iterable[str]) -> None:
    """Write the stored figures, in this order, into the document."""
    stored = [json.loads(file.read_text()) for path in paths if (file := RESULTS / f"{path}.json").exists()]
    lines = [f"- {name}: {value}" for name, value in stored[0]["machine"].items()] if stored else []
    lines += ["", "| path | unit | Newswire | floor | ratio | goal | |", "|---|---|--:|--:|--:|--:|---|"]
    lines += [f"| {' | '.join(_cells(figure))} |" for content in stored for figure in content["figures"]]
    before, rest = DOCUMENT.read_text().split(BEGIN)
    _, after = rest.split(END)
    DOCUMENT.write_text("\n".join([before + BEGIN, "", *lines, "", END + after]))


def _cells(figure: Stored) -> list[str]:
    met = {True: "met", False: "short", None: ""}[figure.get("met")]
    detail = figure.get("detail", {})
    unit = figure["unit"]
    if "p95" in detail:
        unit += f" (p95 {_number(detail['p95'])}, p99 {_number(detail['p99'])})"
    ratio = f"{figure['ratio']:.2f}" if "ratio" in figure else ""
    return [
        figure["name"],
        unit,
        _number(figure["ours"]),
        _number(figure.get("floor")),
        ratio,
        figure.get("goal", ""),
        met,
    ]


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
