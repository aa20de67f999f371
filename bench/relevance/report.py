"""The figures of a collection: as a table on the terminal, and as JSON."""

import json
import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.figures import percentiles
from bench.machine import load, machine
from bench.relevance.collection import Collection
from bench.relevance.measures import Grades, ndcg, recall, reciprocal_rank

MEASURES = {"nDCG@10": ndcg, "MRR@10": reciprocal_rank, "recall@100": recall}
DEPTH = 100
"""The number of results that are requested, the depth of the deepest measure."""


@dataclass(frozen=True)
class Run:
    """The results of one system for each query, and the time of a page in ms."""

    system: str
    found: Mapping[str, Sequence[str]]
    times: Sequence[float]


@dataclass(frozen=True)
class Scores:
    """The means over all queries, and the latency in ms."""

    system: str
    measures: Mapping[str, float]
    p50: float
    p95: float


@dataclass(frozen=True)
class Measured:
    """The results of all systems for a collection."""

    collection: Collection
    scores: Sequence[Scores]
    kinds: Mapping[str, Sequence[Scores]]
    """The same for each kind of query, if there are kinds: the prefix of query ids, as in ``misspelt-17``."""


def measured(collection: Collection, runs: Sequence[Run]) -> Measured:
    """Return the means of all runs on a collection."""
    return Measured(
        collection,
        [_scored(run, collection.judgements) for run in runs],
        {
            kind: [_scored(_only(run, kind), collection.judgements) for run in runs]
            for kind in sorted({_kind(query) for query in collection.queries} - {""})
        },
    )


def _kind(query: str) -> str:
    found = re.fullmatch(r"([a-z]+)-\d+", query)
    return found[1] if found else ""


def _only(run: Run, kind: str) -> Run:
    return replace(run, found={query: found for query, found in run.found.items() if _kind(query) == kind})


def _scored(run: Run, judgements: Mapping[str, Grades]) -> Scores:
    means = {
        name: statistics.fmean(measure(found, judgements[query]) for query, found in run.found.items())
        for name, measure in MEASURES.items()
    }
    latency = percentiles(run.times)
    return Scores(run.system, means, latency["p50"], latency["p95"])


def show(console: Console, figures: Measured) -> None:
    """Print the figures of one collection as tables."""
    collection = figures.collection
    title = f"{collection.name}: {len(collection.articles):,} articles, {len(collection.queries):,} queries"
    table = Table("system", *MEASURES, "ms p50", "ms p95", title=title, caption=_remarks(collection))
    for each in figures.scores:
        table.add_row(each.system, *_cells(each), f"{each.p50:.1f}", f"{each.p95:.1f}")
    console.print(table)
    for kind, scores in figures.kinds.items():
        table = Table("system", *MEASURES, title=f"{collection.name}, {kind}")
        for each in scores:
            table.add_row(each.system, *_cells(each))
        console.print(table)


def _cells(scores: Scores) -> list[str]:
    return [f"{value:.4f}" for value in scores.measures.values()]


def store(file: Path, figures: Sequence[Measured]) -> None:
    """Write all figures to one file."""
    content = {
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
        "load_average_after": load(),
        "machine": machine(),
        "collections": [_as_json(each) for each in figures],
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def _as_json(figures: Measured) -> dict[str, Any]:
    collection = figures.collection
    return {
        "name": collection.name,
        "articles": len(collection.articles),
        "queries": len(collection.queries),
        "untitled": collection.untitled,
        "cut": collection.cut,
        "systems": {
            each.system: _rounded(each) | {"p50_ms": round(each.p50, 2), "p95_ms": round(each.p95, 2)}
            for each in figures.scores
        },
        "kinds": {kind: {each.system: _rounded(each) for each in scores} for kind, scores in figures.kinds.items()},
    }


def _rounded(scores: Scores) -> dict[str, float]:
    return {name: round(value, 4) for name, value in scores.measures.items()}


def _remarks(collection: Collection) -> str | None:
    said = []
    if collection.untitled:
        said.append(f"{collection.untitled:,} without a title begin with one taken from their text")
    if collection.cut:
        said.append(f"{collection.cut:,} texts or queries were cut to what is taken")
    return "; ".join(said) or None
