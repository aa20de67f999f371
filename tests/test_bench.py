"""The benchmark works: one cheap path, end to end."""

import json
import subprocess
import sys
from pathlib import Path


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
