"""The drill of alerts covers every alert and every panel, and the documentation has its results."""

import yaml

from tests.faults.alert_drill import RULES, shortened
from tests.faults.alert_faults import FAULTS
from tests.faults.alert_panels import PANELS, dashboard_queries
from tests.faults.alert_results import BEGIN, DOCUMENT, END, kept, table


def alerts() -> dict[str, dict[str, object]]:
    return {rule["alert"]: rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]}


def test_each_alert_must_fire_in_some_fault_and_each_panel_is_read_in_one() -> None:
    assert set().union(*(fault.fires | fault.follows for fault in FAULTS)) == alerts().keys()
    assert set().union(*(fault.may_fire for fault in FAULTS)) <= alerts().keys()
    assert PANELS.keys() == {title for title, _ in dashboard_queries()}
    assert {panel.fault for panel in PANELS.values()} <= {fault.name for fault in FAULTS}


def test_the_rules_of_the_drill_differ_in_times_and_limits_only() -> None:
    quick = {
        rule["alert"]: rule
        for group in yaml.safe_load(shortened(RULES.read_text()))["groups"]
        for rule in group["rules"]
    }
    assert quick.keys() == alerts().keys()
    for name, rule in alerts().items():
        assert quick[name]["labels"] == rule["labels"]
        assert ("for" in quick[name]) == ("for" in rule)


def test_the_results_in_the_documentation_are_those_that_were_kept() -> None:
    results = kept()
    assert [verdict.fault.name for verdict in results.values() if not verdict.right] == []
    made = DOCUMENT.read_text().partition(BEGIN)[2].partition(END)[0]
    assert made.strip() == table(list(results.values())).strip()
