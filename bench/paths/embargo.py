"""The delay of scheduled articles: many due at the same moment, three processes, one of which is killed meanwhile."""

from bench.figures import Figure, percentiles
from bench.setting import Setting
from tests.ingest.embargo_drill import drill


async def measure(setting: Setting) -> list[Figure]:
    """Return one figure. The server is restarted ten seconds before the moment."""
    count = setting.some(1000)
    setting.tell(f"{count} articles due at once")
    drilled = await drill(setting.folder / "embargo", count, restart=10, lead=30)
    if sorted(drilled.titles) != sorted(f"T{number}" for number in range(count)):
        raise RuntimeError("not every article went out exactly once")
    found = percentiles([late * 1000 for late in drilled.lateness])
    return [Figure(f"{count:,} articles due at once → stream", "ms p50 late", found["p50"], detail=found)]
