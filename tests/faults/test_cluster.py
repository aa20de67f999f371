"""The main job on a cluster of three primaries, while the slot of all keys is moved to another one."""

from pathlib import Path

import pytest

from tests.faults.cluster_drill import cause


@pytest.mark.timeout(240)
async def test_articles_are_found_delivered_and_streamed_while_the_slot_moves(tmp_path: Path) -> None:
    outcome = await cause(tmp_path, "move", min_replicas=1, rate=10, seconds=1)
    assert (outcome.unexplained, outcome.lost, outcome.resurrected, outcome.reused) == ([], 0, 0, 0), str(outcome)
    assert outcome.writes > 20
    assert [log.name for log in tmp_path.glob("*-1.log") if "Traceback" in log.read_text()] == []
