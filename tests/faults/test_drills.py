"""The quick drills: a fault occurs during publishing, and afterwards the checker finds nothing."""

import shutil
from pathlib import Path

import pytest

from tests.conftest import lacking
from tests.faults.drills import DRILLS, Drill
from tests.faults.proxies import ToxiproxyUnavailableError
from tests.faults.rolling_drill import drill as rolling_drill
from tests.faults.run import run_drill
from tests.servers.elasticsearch import ElasticsearchServer

RATE = 20
"""Articles per second; `make drill` uses more, and runs longer."""

QUICK = [drill for drill in DRILLS if drill.quick is not None]


@pytest.mark.timeout(400)
@pytest.mark.parametrize("drill", QUICK, ids=lambda drill: drill.name.replace(" ", "-"))
async def test_the_quick_drills_find_no_difference(
    drill: Drill, elasticsearch: ElasticsearchServer, tmp_path: Path
) -> None:
    try:
        verdict = await run_drill(drill, tmp_path, elasticsearch, seconds=drill.quick or 1, rate=RATE, seed=7)
    except ToxiproxyUnavailableError as error:
        lacking(str(error))
        raise
    assert verdict.found == [], verdict.said


@pytest.mark.timeout(400)
async def test_nobody_notices_a_rolling_restart_behind_the_gateway(
    elasticsearch: ElasticsearchServer, tmp_path: Path
) -> None:
    if shutil.which("nginx") is None:
        lacking("nginx is not installed")
    result = await rolling_drill(tmp_path, elasticsearch, rate=8, processes=1)
    assert (result.failed, result.found) == ([], []), result.said
