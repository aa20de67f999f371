"""``python -m bench.embargo``: a thousand articles due at the same moment; how late is the last?

Three processes of ingest publish them; the server was restarted ten seconds before, and one of the three is killed in the act.
"""

import asyncio
import statistics
import tempfile
from pathlib import Path

from tests.ingest.embargo_drill import drill

ARTICLES = 1000

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        drilled = asyncio.run(drill(Path(folder), ARTICLES, restart=10, lead=30))
    percentiles = statistics.quantiles(drilled.lateness, n=100)
    once = sorted(drilled.titles) == sorted(f"T{number}" for number in range(ARTICLES))
    print(f"{len(drilled.titles)} published, each exactly once: {once}")
    print(f"late by p50 {percentiles[49]:.3f} s, p99 {percentiles[98]:.3f} s, at most {max(drilled.lateness):.3f} s")
