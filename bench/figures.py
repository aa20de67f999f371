"""The result of a measurement: the median of its rounds, that of its floor, and whether it meets the goal."""

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Goal:
    """The required ratio to the floor: ``at least`` for rates, ``at most`` for times."""

    bound: Literal["at least", "at most"]
    ratio: float

    def met_by(self, ratio: float) -> bool:
        return ratio >= self.ratio if self.bound == "at least" else ratio <= self.ratio

    def __str__(self) -> str:
        return f"{'≥' if self.bound == 'at least' else '≤'} {self.ratio:g} ×"


@dataclass(frozen=True, slots=True)
class Figure:
    """One row of the table. ``rounds`` contains (ours, floor) of each round, both in ``unit``."""

    name: str
    unit: str
    ours: float
    floor: float | None = None
    ratio: float | None = None
    goal: str = ""
    met: bool | None = None
    rounds: Sequence[tuple[float, float]] = ()
    detail: dict[str, float] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return the members, rounded to their precision."""
        return {name: _rounded(value) for name, value in asdict(self).items() if value not in (None, "", (), {})}


def compared(
    name: str, unit: str, rounds: Sequence[tuple[float, float]], goal: Goal | None = None, **detail: float
) -> Figure:
    """Return the medians of (ours, floor) rounds, and the median of their ratios."""
    ratio = statistics.median(ours / floor for ours, floor in rounds)
    return Figure(
        name,
        unit,
        statistics.median(ours for ours, _ in rounds),
        statistics.median(floor for _, floor in rounds),
        ratio,
        str(goal or ""),
        goal.met_by(ratio) if goal else None,
        rounds,
        detail,
    )


def times(
    name: str,
    ours: Sequence[float],
    floor: Sequence[float] = (),
    goal: Goal | None = None,
    rounds: Sequence[tuple[float, float]] = (),
) -> Figure:
    """Return the percentiles of times in ms; the p50 is compared with the floor. ``rounds``: both p50 of each round."""
    detail = percentiles(ours) | {f"floor_{name}": value for name, value in percentiles(floor).items()}
    p50 = statistics.median(ours)
    if not floor:
        return Figure(name, "ms p50", p50, detail=detail)
    ratio = p50 / statistics.median(floor)
    met = goal.met_by(ratio) if goal else None
    return Figure(name, "ms p50", p50, statistics.median(floor), ratio, str(goal or ""), met, rounds, detail)


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """Return p50, p95 and p99."""
    if len(values) < 2:
        return {f"p{p}": value for value in values for p in (50, 95, 99)}
    cuts = statistics.quantiles(values, n=100, method="inclusive")
    return {"p50": cuts[49], "p95": cuts[94], "p99": cuts[98]}


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, dict):
        return {name: _rounded(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return value
