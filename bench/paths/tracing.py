"""What spans and metrics cost: the processor time of each service for an article and for a search, recorded and not.

The services of one installation record nothing, one request in a hundred, one in ten, all, and nothing without metrics, in turns
(`bench.switched`). The floor is the processor time without spans; for metrics, that without metrics. What encoding and sending the
spans took of it is reported separately, as ``sending``: it depends on the receiver and on how many spans it gets.
"""

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.articles import Article, repeated
from bench.figures import Figure, Goal, compared
from bench.paths.cost import SERVICES, Installation, ServiceStarter, installation, subscribe, words_of
from bench.servers import Server, program, switched
from bench.setting import Setting
from bench.switched import MODES, NO_METRICS, NOTHING, RATIOS, switcher
from tests.servers.valkey import free_port

ARTICLES = 100
"""In each turn: few, so that little changes on the machine between two modes of a round."""
SEARCHES = 100
ROUNDS = 3
"""Rounds for each of the setting: a difference of a few percent is to be seen."""
MAX_SHARE = 1.05
PATHS = {
    "publishing an article": "ingest",
    "indexing an article": "search",
    "delivering an article to 10 endpoints and 10 readers": "notify",
    "a search": "search",
}
"""What is measured, and the service that does it."""

Spent = tuple[float, float]
"""Processor time, and how much of it went into encoding and sending spans."""
Costs = Mapping[str, Spent]
Switch = Callable[[str], Spent]


async def measure(setting: Setting) -> list[Figure]:
    """Return the processor time of each path in each mode."""
    rounds = setting.rounds * ROUNDS
    made = list(repeated(setting.articles, ARTICLES * (rounds + 1) * len(MODES), "spans"))
    parts = iter([made[at : at + ARTICLES] for at in range(0, len(made), ARTICLES)])
    words = words_of(made[:ARTICLES])  # which every turn finds
    spent: dict[str, list[Costs]] = {mode: [] for mode in MODES}
    switches: dict[str, Switch] = {}
    with program("receiver", setting.folder / "spans.log") as receiver:
        async with installation(setting, "spans", start=_starter(receiver.site, switches)) as on:
            await subscribe(on)
            for number in setting.steps("spans", range(rounds + 1)):
                for mode in MODES if number % 2 else reversed(MODES):
                    costs = await _spent(on, switches, mode, next(parts), words)
                    if number:  # the first round warms up
                        spent[mode].append(costs)
    return [_figure(path, mode, spent) for path in PATHS for mode in (*RATIOS, NO_METRICS)]


def _starter(receiver: str, switches: dict[str, Switch]) -> ServiceStarter:
    """Return what runs a service that can be switched, and keeps its switch."""

    @contextmanager
    def start(name: str, settings: dict[str, str], log: Path) -> Iterator[Server]:
        control = free_port()
        sending = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver}
        with switched(name, settings | sending, log, control) as server:
            switches[name] = switcher(control)
            yield server

    return start


async def _spent(
    on: Installation, switches: Mapping[str, Switch], mode: str, articles: Sequence[Article], words: Sequence[str]
) -> Costs:
    before = _switched(switches, mode)
    await on.publish(articles)
    published = _switched(switches, mode)
    await on.search(words[:SEARCHES])
    searched = _switched(switches, mode)
    costs = {
        path: _each(before[name], published[name], len(articles)) for path, name in PATHS.items() if path != "a search"
    }
    return costs | {"a search": _each(published["search"], searched["search"], SEARCHES)}


def _switched(switches: Mapping[str, Switch], mode: str) -> dict[str, Spent]:
    """Switch every service to a mode; return what each has spent until all its spans were sent."""
    return {name: switches[name](mode) for name in SERVICES}


def _each(before: Spent, after: Spent, count: int) -> Spent:
    """Return the microseconds of one of so many between two times."""
    return (after[0] - before[0]) / count * 1e6, (after[1] - before[1]) / count * 1e6


def _figure(path: str, mode: str, spent: Mapping[str, Sequence[Costs]]) -> Figure:
    ours, floor = (NOTHING, NO_METRICS) if mode == NO_METRICS else (mode, NOTHING)
    pairs = [(one[path][0], other[path][0]) for one, other in zip(spent[ours], spent[floor], strict=True)]
    goal = None if mode == "all" else Goal("at most", MAX_SHARE)
    detail = {"lowest": min(one for one, _ in pairs) / min(other for _, other in pairs)}
    if mode == NO_METRICS:
        return compared(f"{path}, metrics (floor: without)", "µs of processor time", pairs, goal, **detail)
    detail["sending"] = statistics.median(one[path][1] for one in spent[mode])
    return compared(f"{path}, spans of {mode} (floor: none)", "µs of processor time", pairs, goal, **detail)
