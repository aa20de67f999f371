"""The dashboard and the alerts query metrics and labels that exist, and each alert fires when it should."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml
from prometheus_client import REGISTRY

import newswire_ingest.app  # noqa: F401 (the modules of services declare metrics)
import newswire_notify.app  # noqa: F401
import newswire_search.index.elasticsearch.http_node  # noqa: F401
from newswire_operations.exposition import metrics_pages

DEPLOY = Path(__file__).parents[2] / "deploy"
RULES = DEPLOY / "prometheus" / "rules.yml"
OF_TARGETS = {"instance", "service", "job"}
"""Labels that operations or Prometheus add to the metrics of each replica."""
_SUFFIXES = ("_total", "_bucket", "_count", "_sum", "_created", "_info", "")


def known_metrics() -> dict[str, set[str]]:
    """Return the labels of every series that the services expose."""
    found: dict[str, set[str]] = {}
    for names in REGISTRY._collector_to_names.values():
        for name in names:
            collector: Any = REGISTRY._names_to_collectors[name]
            labels = set(getattr(collector, "_labelnames", ()))
            found[name] = labels | ({"le"} if name.endswith("_bucket") else set())
    [up], *_ = metrics_pages([])
    return found | {up.name: {"service", "instance"}}


def queries() -> Iterator[tuple[str, str]]:
    for dashboard in sorted((DEPLOY / "grafana").glob("*.json")):
        for panel in json.loads(dashboard.read_text())["panels"]:
            for target in panel.get("targets", ()):
                yield f"{dashboard.stem}: {panel['title']}", target["expr"].replace("$__rate_interval", "5m")
    for group in yaml.safe_load(RULES.read_text())["groups"]:
        for rule in group["rules"]:
            yield f"alert {rule['alert']}", rule["expr"]


def selectors(node: Any) -> Iterator[Any]:
    """Yield the selectors of series in a parsed query."""
    if isinstance(node, promql_parser.VectorSelector):
        yield node
    for name in ("expr", "lhs", "rhs", "vector_selector", "args"):
        inner = getattr(node, name, None)
        for each in inner if isinstance(inner, list) else [inner]:
            if each is not None:
                yield from selectors(each)


def grouped_by(node: Any) -> Iterator[str]:
    """Yield the labels by which a parsed query groups its series."""
    modifier = getattr(node, "modifier", None)
    yield from getattr(modifier, "labels", None) or ()
    for name in ("expr", "lhs", "rhs", "args"):
        inner = getattr(node, name, None)
        for each in inner if isinstance(inner, list) else [inner]:
            if each is not None:
                yield from grouped_by(each)


@pytest.mark.parametrize(("where", "query"), list(queries()), ids=[where for where, _ in queries()])
def test_a_query_names_metrics_and_labels_that_exist(where: str, query: str) -> None:
    metrics = known_metrics()
    parsed = promql_parser.parse(query)
    named = list(selectors(parsed))
    assert named, where
    possible = set(OF_TARGETS)
    for selector in named:
        assert selector.name in metrics, f"{where}: there is no metric {selector.name}"
        labels = metrics[selector.name] | OF_TARGETS
        possible |= labels
        assert {matcher.name for matcher in selector.matchers.matchers} <= labels, where
    assert set(grouped_by(parsed)) <= possible, where


def test_the_dashboard_shows_how_processes_share_the_stream() -> None:
    shown = {selector.name for _, query in queries() for selector in selectors(promql_parser.parse(query))}
    shared = {f"newswire_stream_relay_{name}" for name in ("followers", "disconnects_total")}
    assert shared | {"newswire_live_entries_total"} <= shown


def rules() -> dict[str, dict[str, Any]]:
    return {rule["alert"]: rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]}


def test_each_alert_names_its_section_of_the_runbooks() -> None:
    text = (DEPLOY.parent / "docs" / "operators" / "alerts.md").read_text()
    for name, rule in rules().items():
        assert rule["annotations"]["runbook"] == f"docs/operators/alerts.md#{name.lower()}"
        section = text.partition(f"\n## {name}\n")[2].partition("\n## ")[0]
        for part in ("*Cause.*", "*Check.*", "*Remedy.*"):
            assert part in section, f"{name}: {part}"


def test_each_alert_is_tested_and_fires_when_it_should() -> None:
    alerts = rules().keys()
    tests = yaml.safe_load(RULES.with_name("rules_test.yml").read_text())["tests"]
    assert {test["alertname"] for test in tests[0]["alert_rule_test"]} == alerts
    assert {test["name"] for test in tests[1:]} == alerts
    promtool = shutil.which("promtool") or shutil.which("promtool", path=str(Path.home() / "go" / "bin"))
    assert promtool, "install promtool (Debian: prometheus; go install github.com/prometheus/prometheus/cmd/promtool)"
    for command in (["check", "rules", "rules.yml"], ["test", "rules", "rules_test.yml"]):
        done = subprocess.run([promtool, *command], cwd=RULES.parent, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
