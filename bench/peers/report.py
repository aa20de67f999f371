"""The figures of peers on the terminal, as JSON, and in ``docs/performance.md``."""

import json
import statistics
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.report import DOCUMENT

BEGIN, END = "<!-- peers: made by `python -m bench.peers --keep` -->", "<!-- end of peers -->"
UNITS = {
    "rate": "a second",
    "p50": "ms p50",
    "p99": "ms p99",
    "acknowledged_p50": "ms until the publisher's response, p50",
    "service_microseconds": "µs of the service, each",
    "stores_microseconds": "µs of its stores, each",
    "kibibytes": "KiB",
}
"""The values that are shown, in this order; the file has more."""

Stored = Mapping[str, Any]


def store(file: Path, work: str, measured: Stored) -> None:
    """Write the figures of one work into the file, beside those of others."""
    content = json.loads(file.read_text()) if file.exists() else {}
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content | {work: _rounded(measured)}, indent=1, ensure_ascii=False) + "\n")


def show(console: Console, work: str, measured: Stored) -> None:
    """Print the figures of one work."""
    heads, rows = _table(measured)
    table = Table(*heads, title=work)
    for row in rows:
        table.add_row(*row)
    console.print(table)
    for line in _conditions(measured):
        console.print(line)


def keep(file: Path) -> None:
    """Write the stored figures into the document."""
    lines: list[str] = []
    for work, measured in json.loads(file.read_text()).items():
        heads, rows = _table(measured)
        aligned = "|".join(["---", "---", *("--:" for _ in heads[2:])])
        lines += [f"**{work.capitalize()}**", "", _line(heads), f"|{aligned}|", *map(_line, rows), ""]
        lines += [*(f"- {line}" for line in _conditions(measured)), ""]
    before, rest = DOCUMENT.read_text().split(BEGIN)
    _, after = rest.split(END)
    DOCUMENT.write_text("\n".join([before + BEGIN, "", *lines, END + after]))


def _table(measured: Stored) -> tuple[list[str], list[list[str]]]:
    names = list(measured["contestants"])
    found = {(row["work"], row["contestant"]): row["rounds"] for row in measured["rows"]}
    rows: list[list[str]] = []
    for work in dict.fromkeys(row["work"] for row in measured["rows"]):
        for value, unit in UNITS.items():
            cells = [_cell(found.get((work, name), []), value) for name in names]
            if any(cells):
                rows.append([work, unit, *cells])
    return ["work", "unit", *names], rows


def _cell(rounds: Iterable[Mapping[str, float]], value: str) -> str:
    """Return the median, with the range of the rounds."""
    values = [each[value] for each in rounds if each.get(value)]
    if len(values) < 2:
        return "".join(map(_number, values))
    return f"{_number(statistics.median(values))} ({_number(min(values))}–{_number(max(values))})"


def _conditions(measured: Stored) -> list[str]:
    """Return the circumstances of a measurement, a sentence each."""
    lines = [f"{name} ({each['version']}): {each['settings']}." for name, each in measured["contestants"].items()]
    lines += [f"{name} was skipped: {reason}." for name, reason in measured["skipped"].items()]
    for work, reasons in measured["broken"].items():
        lines.append(f"{work}: {len(reasons)} more rounds were not completed ({', '.join(dict.fromkeys(reasons))}).")
    processor, system = measured["machine"]["processor"], measured["machine"]["system"]
    before, after = measured["load_average_before"], measured["load_average_after"]
    asked = ", ".join(f"{name} {value:,}" for name, value in measured["parameters"].items())
    lines.append(
        f"{measured['measured'][:10]}, {processor}, {system}; {asked}; load average {before} before, {after} after."
    )
    if floor := measured["floor_posts_per_second"]:
        middle, least, most = statistics.median(floor), min(floor), max(floor)
        lines.append(
            f"Drift: the client alone posted to the receiver, before each round, {middle:,.0f} times a second "
            f"({least:,.0f}–{most:,.0f}; in order {', '.join(f'{each:,.0f}' for each in floor)})."
        )
    return lines


def _number(value: float) -> str:
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2g}"


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, Mapping):
        return {name: _rounded(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return value
