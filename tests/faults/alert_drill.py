"""Each alert fires in the fault that it is for, and in no other; each query of the dashboard returns the right value.

``python -m tests.faults.alert_drill`` runs an installation under load, breaks one thing after the other, and asks a real Prometheus
which alerts fired. The rules are those of ``deploy/prometheus/rules.yml``, with shorter times and lower limits.
"""

import argparse
import asyncio
import re
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
from rich.console import Console
from rich.table import Table

from tests.faults.alert_faults import FAULTS, Fault
from tests.faults.alert_panels import PANELS, RATE, dashboard_queries
from tests.faults.alert_results import Verdict, keep
from tests.faults.alert_scene import READERS, Scene, scene
from tests.faults.stand import stand
from tests.polling import until
from tests.servers.elasticsearch import elasticsearch_server
from tests.servers.prometheus import Prometheus, prometheus

RULES = Path(__file__).parents[2] / "deploy" / "prometheus" / "rules.yml"
WINDOWS = {"2m": "45s", "5m": "20s", "10m": "20s", "1h": "40s"}
"""The ranges of the rules, and those of the drill: they must hold several values."""
PENDING = {"2m": "12s", "5m": "12s", "10m": "15s", "15m": "15s", "30m": "15s"}
"""How long a condition must last."""
LIMITS = {
    r"(?<=queue_age_seconds\)) > 60$": " > 12",
    "> 1000$": "> 100",
    "> 3600$": "> 5",
    "> 900$": "> 5",
    'le="5.0"': 'le="30.0"',
}
"""The limits of the rules, as patterns, and those of the drill. That of a stuck consumer stays, because a busy machine takes up to
half a minute for a batch of 400 events; it may also take more than five seconds to index an article.
"""
CALM_SECONDS = 300
"""How long the alerts of a fault may take to end when it is over."""
WARM_UP_SECONDS = 30
"""How long the load runs first: the first events are slow, and ranges must be full."""
console = Console(highlight=False, soft_wrap=True)


def shortened(rules: str) -> str:
    """Return the rules with the times and limits of the drill."""
    quick = re.sub(r"(?<=for: )\w+", lambda found: PENDING[found[0]], rules)
    quick = re.sub(r"\[(\w+)\]", lambda found: f"[{WINDOWS[found[1]]}]", quick)
    for limit, lower in LIMITS.items():
        quick, count = re.subn(limit, lower, quick, flags=re.MULTILINE)
        assert count, limit
    return quick


class Watch:
    """Notes which alerts fire during a fault."""

    def __init__(self, fault: Fault, asked: Prometheus) -> None:
        self.verdict = Verdict(fault)
        self._asked = asked
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return time.monotonic() - self._began

    async def look(self) -> set[str]:
        """Return the alerts that fire now."""
        firing = await asyncio.to_thread(self._asked.firing)
        for name in sorted(firing - self.verdict.fired.keys()):
            self.verdict.fired[name] = round(self.seconds, 1)
            console.print(f"  {name} after {self.seconds:.0f} s")
        await asyncio.sleep(0.5)
        return firing


async def fired_during(on: Scene, fault: Fault, asked: Prometheus) -> Verdict:
    """Break one thing until its alerts have fired, repair it, and wait until no alert fires."""
    console.print(fault.name)
    began, watch = time.time(), Watch(fault, asked)
    async with fault.broken(on):
        while watch.seconds < fault.at_least or (
            not fault.fires <= watch.verdict.fired.keys() and watch.seconds < fault.at_most
        ):
            await watch.look()
        ended = time.time()
    await _calm(watch, asked)
    verdict = watch.verdict
    for title, query in dashboard_queries():
        if PANELS[title].fault == fault.name:
            verdict.panels[title] = PANELS[title].value(await asyncio.to_thread(asked.range, query, began, ended))
    console.print(f"  over after {watch.seconds:.0f} s", *_complaints(verdict), sep="\n  ")
    return verdict


async def _calm(watch: Watch, asked: Prometheus) -> None:
    """Wait until the alerts that follow the fault have fired, and none fires or is about to."""
    over, follows = watch.seconds, watch.verdict.fault.follows
    while True:
        firing = await watch.look()
        awaited = not follows <= watch.verdict.fired.keys() and watch.seconds < over + CALM_SECONDS / 2
        pending = await asyncio.to_thread(asked.pending)
        if not (firing or pending or awaited):
            return
        assert watch.seconds < over + CALM_SECONDS, f"{firing or pending} do not end"


async def drill(folder: Path, faults: Sequence[Fault], ended: Callable[[Verdict], None]) -> list[Verdict]:
    """Return what each fault led to; each verdict is also given to ``ended``."""
    rules = shortened(RULES.read_text())
    async with AsyncExitStack() as stack:
        elasticsearch = stack.enter_context(elasticsearch_server())
        on = await stack.enter_async_context(scene(folder))
        redis_url = await on.start_redis()
        stack.callback(on.primary.kill)
        stack.callback(on.replica.kill)
        built = await stack.enter_async_context(
            stand(folder / "stand", "alerts", elasticsearch, rate=RATE, settings=on.settings, redis_url=redis_url)
        )
        await on.furnish(built)
        on.start_operations()
        stack.callback(on.operations.kill)
        await asyncio.to_thread(until, lambda: _answers(f"{on.operations.site}/metrics"), 300)
        stopping = asyncio.Event()
        load = [built.publisher.run(stopping), on.search(), *(on.read_live() for _ in range(READERS))]
        tasks = [asyncio.create_task(each) for each in load]
        stack.callback(lambda: [task.cancel() for task in tasks])
        target = f"127.0.0.1:{on.operations.port}"
        asked = await asyncio.to_thread(stack.enter_context, prometheus(folder / "prometheus", target, rules))
        console.print("the load runs")
        await asyncio.sleep(WARM_UP_SECONDS)
        verdicts = []
        for fault in faults:
            verdicts.append(await fired_during(on, fault, asked))
            ended(verdicts[-1])
            assert not any(task.done() for task in tasks), [task for task in tasks if task.done()]
        stopping.set()
    return verdicts


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False, timeout=30).status_code == 200
    except httpx.TransportError:
        return False


def _complaints(verdict: Verdict) -> list[str]:
    found = [f"MISSING {name}" for name in verdict.missing] + [f"WRONG {name}" for name in verdict.wrong]
    return found + [f"PANEL {title}: {value}" for title, value in verdict.misread.items()]


def show(verdicts: Sequence[Verdict]) -> bool:
    """Print the results; return whether they are as they should be."""
    table = Table("fault", "fired (s)", "wrong or missing", "panels")
    for verdict in verdicts:
        fired = ", ".join(f"{name} ({after:.0f})" for name, after in verdict.fired.items())
        panels = ", ".join(f"{title}: {value}" for title, value in verdict.panels.items())
        table.add_row(verdict.fault.name, fired, "\n".join(_complaints(verdict)), panels)
    console.print(table)
    return all(verdict.right for verdict in verdicts)


def main() -> int:
    """Run the drill; the exit code is 0 if exactly the right alerts fired."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.alert_drill", description=__doc__)
    parser.add_argument("--only", default="", help="a regular expression: faults whose name matches")
    parser.add_argument("--keep", action="store_true", help="write the results into docs/operators/monitoring.md")
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="newswire-alerts-"))
    console.print(f"the logs are in {folder}")
    faults = [fault for fault in FAULTS if re.search(given.only, fault.name)]

    def ended(verdict: Verdict) -> None:
        if given.keep and verdict.right:
            keep([verdict])

    return 0 if show(asyncio.run(drill(folder, faults, ended))) else 1


if __name__ == "__main__":
    sys.exit(main())
