"""What is measured, each in processes of its own."""

import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from newswire_cli.valkey import embedded_valkey
from tests.cli.running import BARE, NEWSWIRE, Running, newswire
from tests.servers.valkey import free_port


@contextmanager
def all_in_one(folder: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Run `newswire run`; yield its address and its keys."""
    running = Running(folder, "--no-samples")
    try:
        yield running.site, running.credentials()
    finally:
        running.process.terminate()
        running.process.wait(30)


@contextmanager
def ingest_alone(folder: Path) -> Iterator[tuple[str, str]]:
    """Run `newswire serve ingest` on a Valkey of its own; yield its address and a key to publish."""
    port = free_port()
    with embedded_valkey(folder) as url:
        settings = {"NEWSWIRE_REDIS_URL": url}
        key = newswire("keys", "create", "--account", "bench", "--scope", "publish", **settings).stdout.strip()
        with _process([*NEWSWIRE, "serve", "ingest", "--port", str(port)], settings, port) as site:
            yield site, key


@contextmanager
def floor(folder: Path) -> Iterator[str]:
    """Run the floor of publishing; yield its address."""
    port = free_port()
    with _process([sys.executable, "-m", "bench.floor", str(folder), str(port)], {}, port) as site:
        yield site


@contextmanager
def _process(command: list[str], settings: dict[str, str], port: int) -> Iterator[str]:
    process = subprocess.Popen(command, env=BARE | settings, stderr=subprocess.DEVNULL)
    try:
        site = f"http://127.0.0.1:{port}"
        while not _answers(site):
            if process.poll() is not None:
                raise SystemExit(f"{' '.join(command)} ended with exit code {process.returncode}")
            time.sleep(0.05)
        yield site
    finally:
        process.terminate()
        process.wait(30)


def _answers(site: str) -> bool:
    try:
        urllib.request.urlopen(f"{site}/healthz", timeout=1)
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True
