"""What the queries of the dashboard must return in `alert_drill`: for each panel a value, and the fault that shows it."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.faults.alert_scene import READERS, SLOW_SECONDS

DASHBOARD = Path(__file__).parents[2] / "deploy" / "grafana" / "newswire.json"
RATE = 2.0
"""Articles a second of the drill; a tenth of its writes are retractions, and another one changes."""
SLOW = f"endpoints take {SLOW_SECONDS:.0f} s"
DELIVERIES = 9 * RATE
"""Each article goes to the five subscriptions of the scene, and to about four of those by category, topic and word."""


@dataclass(frozen=True)
class Panel:
    """The highest value of the series with these labels, during a fault, lies between two limits."""

    fault: str
    low: float
    high: float
    labels: Mapping[str, str] = field(default_factory=dict)

    def value(self, series: Sequence[Mapping[str, Any]]) -> float | None:
        """Return that value of the result of a query; None without any."""
        found = [
            float(value)
            for one in series
            if self.labels.items() <= one["metric"].items()
            for _, value in one["values"]
            if not math.isnan(float(value))
        ]
        return max(found, default=None)


PANELS = {
    "Requests a second": Panel("nothing", 0.6 * RATE, 2 * RATE, {"service": "ingest"}),
    "Failed requests": Panel("Redis is killed", 0.5, 1, {"service": "ingest"}),
    "Time to the first byte, p99": Panel("nothing", 0.001, 10, {"service": "search"}),
    "Slowest routes, p99": Panel("nothing", 0.001, 10, {"method": "GET", "route": "/v1/search"}),
    "Events published a second": Panel("nothing", 0.5 * RATE, 2 * RATE, {"kind": "published"}),
    "Publication to searchable, p99": Panel("nothing", 0.005, 30),
    "Publication to delivered, p99": Panel("nothing", 0.005, 30),
    "Events that consumers have not read": Panel("more events than can be handled", 100, 10_000, {"group": "search"}),
    "Oldest event being handled": Panel("Elasticsearch closes connections", 12, 300, {"group": "search"}),
    "Dead letters": Panel("an entry without an event", 1, 1, {"group": "notify"}),
    "Deliveries a second": Panel("nothing", 0.4 * DELIVERIES, 2 * DELIVERIES, {"outcome": "delivered"}),
    "Attempts a second by result": Panel("endpoints answer 500", 0.1, 10 * DELIVERIES, {"result": "5xx"}),
    "Time of attempts, p99": Panel(SLOW, SLOW_SECONDS / 2, 2 * SLOW_SECONDS, {"result": "2xx"}),
    "Age of the queue": Panel(SLOW, 12, 300),
    "Endpoints with work": Panel(SLOW, 5, 200),
    "Live clients": Panel("nothing", READERS, READERS),
    "Entries for live streams a second": Panel("nothing", 0.5 * RATE, 4 * RATE, {"source": "redis"}),
    "Processes that follow a stream relay": Panel("nothing", 0, 0),  # none is set up
    "Connections to stream relays that ended": Panel("nothing", 0, 0),
    "Redis, p99": Panel("nothing", 0.0002, 5),
    "Elasticsearch, p99": Panel("nothing", 0.0005, 10),
    "Calls without a reply": Panel("Elasticsearch closes connections", 0.1, 1000),
    "Memory of Redis that writers may use": Panel("Redis is nearly full", 0.9, 1.1, {"writers": "publishing"}),
    "Open connections": Panel("nothing", READERS, 200),
    "Memory of processes": Panel("nothing", 80e6, 600e6),
    "Failed checks and loops": Panel("Redis may evict records", 1, 10, {"service": "ingest"}),
    "Retractions that wait for the archive": Panel("the archive is not mounted", 1, 30 * RATE),
    "Mails a second": Panel("nothing", 0.1, 10 * RATE, {"outcome": "accepted"}),
}


def dashboard_queries() -> Iterator[tuple[str, str]]:
    """Yield the title and each query of the panels of the dashboard."""
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"].replace("$__rate_interval", "20s")
