"""The failover in which most was lost: planned, while the former primary goes on taking writes for seconds."""

from pathlib import Path

import pytest

from tests.faults.failover_drill import REPLICAS, fail_over


@pytest.mark.timeout(240)
async def test_a_planned_failover_loses_nothing_that_all_replicas_acknowledge(tmp_path: Path) -> None:
    outcome = await fail_over(tmp_path, "unattended", min_replicas=REPLICAS, rate=15, seconds=3)
    assert (outcome.unexplained, outcome.lost, outcome.resurrected, outcome.reused) == ([], 0, 0, 0), str(outcome)
    assert outcome.writes > 50
