"""The tables of docs/deliveries.md name every state, and functions that exist where they say."""

import re
from pathlib import Path

import pytest

from newswire_notify.deliveries.service import State

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs/deliveries.md").read_text()
SOURCES = [ROOT / "services/notify/newswire_notify" / folder for folder in ("deliveries", "subscriptions")]


def rows() -> list[list[str]]:
    lines = [line for line in DOCUMENT.splitlines() if line.startswith("| ") and not line.startswith("| from")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def decisions() -> list[tuple[str, str]]:
    found = set[tuple[str, str]]()
    for row in rows():
        files = re.findall(r"`(\w+\.(?:lua|py))`", row[-1])
        found.update(zip(re.findall(r"`(\w+)`", row[-2]), files, strict=bool(files)))
    return sorted(found)


def test_every_state_is_listed_reached_and_left() -> None:
    transitions = [row for row in rows() if len(row) == 5]
    listed = {state for row in rows() if len(row) == 3 for state in re.findall(r"^`(\w+)`$", row[0])}
    left = {state for row in transitions for state in re.findall(r"`(\w+)`", row[0])}
    reached = {state for row in transitions for state in re.findall(r"^`(\w+)`", row[2])}
    assert listed == left == reached == set(State)


@pytest.mark.parametrize(("function", "file"), decisions())
def test_each_decision_is_where_it_is_said_to_be(function: str, file: str) -> None:
    (found,) = [folder / file for folder in SOURCES if (folder / file).is_file()]
    assert re.search(rf"(function|def) {function}\(", found.read_text())
