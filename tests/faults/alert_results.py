"""The results of `alert_drill`: kept in a file, from which the table of the documentation is made."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.alert_faults import FAULTS, Fault
from tests.faults.alert_panels import PANELS

RESULTS = Path(__file__).with_name("alert_results.json")
DOCUMENT = Path(__file__).parents[2] / "docs" / "operators" / "monitoring.md"
BEGIN, END = "<!-- alerts: made by `python -m tests.faults.alert_drill --keep` -->", "<!-- end of alerts -->"


@dataclass
class Verdict:
    """What a fault has led to: the alerts that fired, each after how many seconds, and the highest values of panels."""

    fault: Fault
    fired: dict[str, float] = field(default_factory=dict)
    panels: dict[str, float | None] = field(default_factory=dict)

    @property
    def missing(self) -> set[str]:
        """The alerts that should have fired."""
        return set(self.fault.fires | self.fault.follows) - self.fired.keys()

    @property
    def wrong(self) -> set[str]:
        """Those that should not."""
        return self.fired.keys() - self.fault.fires - self.fault.follows - self.fault.may_fire

    @property
    def misread(self) -> dict[str, float | None]:
        """The panels whose value is not the expected one."""
        return {
            title: value
            for title, value in self.panels.items()
            if value is None or not PANELS[title].low <= value <= PANELS[title].high
        }

    @property
    def right(self) -> bool:
        """Whether all is as expected."""
        return not (self.missing or self.wrong or self.misread)


def kept() -> dict[str, Verdict]:
    """Return the results that were kept, by the name of the fault."""
    found = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    faults = {fault.name: fault for fault in FAULTS}
    return {name: Verdict(faults[name], **result) for name, result in found.items() if name in faults}


def keep(verdicts: Sequence[Verdict]) -> None:
    """Add results to the kept ones, and make the table again."""
    found = kept() | {verdict.fault.name: verdict for verdict in verdicts}
    named = {fault.name: found[fault.name] for fault in FAULTS if fault.name in found}
    made = {name: {"fired": verdict.fired, "panels": verdict.panels} for name, verdict in named.items()}
    RESULTS.write_text(json.dumps(made, indent=2) + "\n")
    before, _, rest = DOCUMENT.read_text().partition(BEGIN)
    DOCUMENT.write_text(f"{before}{BEGIN}\n\n{table(list(named.values()))}\n{END}{rest.partition(END)[2]}")


def table(verdicts: Sequence[Verdict]) -> str:
    """Return the results as a table in Markdown."""
    lines: list[str] = [
        "| what was broken | alerts that must fire, and did | that may fire, and did |",
        "|---|---|---|",
    ]
    for verdict in verdicts:
        must = verdict.fault.fires | verdict.fault.follows
        columns = (_listed(verdict, must), _listed(verdict, verdict.fired.keys() - must))
        lines.append(f"| {verdict.fault.name} | {columns[0]} | {columns[1]} |")
    shown = {verdict.fault.name for verdict in verdicts}
    if left := [fault.name for fault in FAULTS if fault.name not in shown]:
        lines += ["", f"Not shown for the present rules: {'; '.join(left)}."]
    return "\n".join(lines) + "\n"


def _listed(verdict: Verdict, names: frozenset[str] | set[str]) -> str:
    return ", ".join(f"`{name}` {after:.0f} s" for name, after in verdict.fired.items() if name in names) or "none"
