"""A rolling upgrade from an earlier release and back, behind the gateway: no request fails, no event is lost or repeated.

``python -m tests.faults.upgrade_drill COMMIT-OR-TAG`` installs the earlier release from its own lock files, starts two processes of
each of its services behind nginx, and under load replaces them one by one in the order of ``docs/operators/upgrades.md``: by this
release, and then by the earlier one again. Between the steps the releases run together for some seconds.
"""

import argparse
import asyncio
import secrets
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console

from tests.cli.running import NEWSWIRE
from tests.faults.index_cluster_drill import searching
from tests.faults.rolling_drill import Result, show
from tests.faults.run import verdict
from tests.faults.stand import Process, Stand, stand, under_load
from tests.servers.elasticsearch import ElasticsearchServer, elasticsearch_server
from tests.servers.gateway import gateway

ROOT = Path(__file__).parents[2]
INSTALLATIONS = Path.home() / ".cache/newswire/releases"
ORDER = ("notify", "search", "ingest")
MEMBERS = ("shared", "services/ingest", "services/search", "services/notify", "services/operations", "cli")
TOGETHER_SECONDS = 3
STOP_SECONDS = 120
"""How long a busy machine may take for what a process does in 10 s before it ends."""
console = Console(highlight=False, soft_wrap=True)


def install(release: str) -> Path:
    """Install a tag or commit from its own lock file into a folder that is kept; return its `newswire`."""
    commit = _said("git", "rev-parse", "--verify", f"{release}^{{commit}}")
    folder = INSTALLATIONS / commit
    program = folder / "venv/bin/newswire"
    if (folder / "complete").exists():
        return program
    sources = folder / "sources"
    sources.mkdir(parents=True, exist_ok=True)
    archive = subprocess.run(["git", "archive", commit], cwd=ROOT, check=True, capture_output=True).stdout
    subprocess.run(["tar", "-x", "-C", sources], input=archive, check=True)
    wheels = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet", "--no-deps"]
    _said(*wheels, "--no-build-isolation", "--wheel-dir", str(folder), *(str(sources / each) for each in MEMBERS))
    _said(sys.executable, "-m", "venv", "--clear", str(folder / "venv"))
    uv = [str(Path(sys.executable).with_name("uv")), "pip", "install", "--quiet", "--python", str(folder / "venv")]
    _said(*uv, "--no-deps", "--require-hashes", "-r", str(sources / "requirements-run.lock"))
    _said(*uv, "--no-deps", "--no-index", *(str(wheel) for wheel in folder.glob("*.whl")))
    (folder / "complete").touch()
    return program


def _said(*command: str) -> str:
    return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


async def drill(
    folder: Path, elasticsearch: ElasticsearchServer, earlier: Sequence[str], *, rate: float, in_pairs: bool = False
) -> Result:
    """Replace the earlier release by this one under load, and this one by the earlier one.

    ``in_pairs``: do not finish one service before the next one, but replace the first process of each at the same time, and then
    the second one: releases are mixed in every service, and a busy machine needs a third of the time.
    """
    replace = _replace_in_pairs if in_pairs else _replace
    answers: Counter[str] = Counter()
    slowest = [0.0]
    async with stand(
        folder / "stand",
        f"d{secrets.token_hex(4)}",
        elasticsearch,
        replicas=dict.fromkeys(ORDER, 2),
        rate=rate,
        settings={"NEWSWIRE_TRUSTED_PROXIES": "127.0.0.1"},
        program=earlier,
    ) as built:
        sites = {**{name: built.sites(name) for name in ORDER}, "operations": ["127.0.0.1:1"]}
        with gateway(folder / "gateway", sites) as nginx:
            built.go_through(nginx.site)
            async with under_load(built), searching(nginx.site, answers, slowest):
                await asyncio.sleep(TOGETHER_SECONDS)
                await replace(built, ORDER, NEWSWIRE)
                await replace(built, ORDER[::-1], earlier)
            failed = [*nginx.failed(), *built.journal.failed_requests]
            failed += [f"{number} searches {said}" for said, number in answers.items() if said != "answered"]
            requests = sum(nginx.statuses().values())
        judged = await verdict(built)
    said = f"{judged.said}; {requests} requests through nginx; slowest search {slowest[0]:.1f} s"
    return Result(failed, judged.found, said)


async def _replace(built: Stand, order: Sequence[str], program: Sequence[str]) -> None:
    """Replace all processes, one after the other; those of a service run together in both releases for a while."""
    for service in order:
        for process in built.services[service]:
            await _replace_one(built, service, process, program)


async def _replace_in_pairs(built: Stand, order: Sequence[str], program: Sequence[str]) -> None:
    for processes in zip(*(built.services[service] for service in order), strict=True):
        await asyncio.gather(
            *(_replace_one(built, service, process, program) for service, process in zip(order, processes, strict=True))
        )


async def _replace_one(built: Stand, service: str, process: Process, program: Sequence[str]) -> None:
    code = await process.stop(STOP_SECONDS)
    assert code == 0, f"{process.name} ended with {code}"
    process.program = program
    process.start()
    await built.ready(service)
    await asyncio.sleep(TOGETHER_SECONDS)


def main() -> int:
    """Run the drill; the exit code is 0 if nobody noticed."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.upgrade_drill", description=__doc__)
    parser.add_argument("release", help="the tag or commit of the earlier release")
    parser.add_argument("--rate", type=float, default=20, help="articles a second")
    parser.add_argument("--in-pairs", action="store_true", help="replace a process of each service at the same time")
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="newswire-drill-"))
    with ExitStack() as stack:
        with console.status(f"{given.release} is installed, Elasticsearch starts"):
            earlier = [str(install(given.release))]
            server = stack.enter_context(elasticsearch_server())
        result = asyncio.run(drill(folder, server, earlier, rate=given.rate, in_pairs=given.in_pairs))
    return show(result, folder)


if __name__ == "__main__":
    sys.exit(main())
