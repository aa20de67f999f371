"""The benchmark works: one cheap path, end to end."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench import report
from bench.__main__ import GROUPS, PATHS
from bench.figures import compared


def test_a_path_is_measured_with_its_floor(tmp_path: Path) -> None:
    sizes = ["--subscriptions", "1000", "--filters", "1000"]
    command = [sys.executable, "-m", "bench", "--quick", "--only", "matching", *sizes, "--results", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "matching.json").read_text())
    (figure,) = result["figures"]
    assert figure["detail"]["matches"] > 0
    assert figure["ours"] > 0
    assert figure["floor"] > 0
    assert "match one article" in done.stdout
    assert result["machine"]["processor"]


def test_the_document_shows_the_range_of_rounds_and_the_drift_of_floors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = tmp_path / "performance.md"
    document.write_text(f"before {report.BEGIN} old {report.END} after")
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    monkeypatch.setattr(report, "DOCUMENT", document)
    rounds = [(100.0, 8000.0), (110.0, 10_000.0), (120.0, 13_800.0), (130.0, 9000.0), (140.0, 9500.0)]
    report.store("matching", [compared("match", "a second", rounds), compared("few", "a second", rounds[:2])], tmp_path)
    report.keep({"Matching": ["matching"], "Nothing": ["growth"]})
    kept = document.read_text()
    assert "| match | a second | 120 (100–140) | 9,500 (8,000–13,800) |" in kept
    assert "by up to 1.73 × (match: 8,000–13,800 a second)" in kept
    assert "in the median of 1 rows" in kept
    assert " old " not in kept
    assert "### Matching" in kept
    assert "### Nothing" not in kept


def test_a_table_names_its_day_and_another_processor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    document = tmp_path / "performance.md"
    document.write_text(f"{report.BEGIN}{report.END}")
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    monkeypatch.setattr(report, "DOCUMENT", document)
    for path, day, processor in (
        ("growth", "2026-11-05", "Older, 4 cores"),
        ("matching", "2026-11-28", "Newer, 2 cores"),
    ):
        stored = {"measured": f"{day}T10:00:00+00:00", "machine": {"processor": processor}, "figures": []}
        (tmp_path / f"{path}.json").write_text(json.dumps(stored))
    report.keep({"All": ["growth", "matching"]})
    kept = document.read_text()
    assert "- processor: Newer, 2 cores" in kept
    assert "Measured: `growth` 5 November 2026 on Older, 4 cores, `matching` 28 November 2026." in kept


def test_every_path_is_under_one_heading_of_the_document() -> None:
    assert sorted(path for paths in GROUPS.values() for path in paths) == sorted([*PATHS, "first-run"])
