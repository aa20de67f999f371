"""A short attack by hostile connections: memory stays limited, and normal clients get responses."""

import asyncio
from pathlib import Path

import pytest

from tests.faults.hostile import storm, targets


@pytest.mark.timeout(600)
def test_hostile_connections_do_not_exhaust_memory_or_block_others(tmp_path: Path) -> None:
    with targets(tmp_path) as attacked:
        for target in attacked:
            asyncio.run(storm(target, connections=60, seconds=4))
            assert target.clean, target.verdict()
