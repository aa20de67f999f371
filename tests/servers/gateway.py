"""The gateway: nginx with the configuration of the full stack, in front of processes on this machine."""

import os
import re
import shutil
import subprocess
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.polling import DEADLINE_SECONDS
from tests.servers.valkey import free_port

CONFIGURATION = Path(__file__).parents[2] / "gateway"
LINE = re.compile(r'"(?P<method>\S+) (?P<path>.*)" (?P<status>\d{3}) \d+ [\d.]+$')


@dataclass(frozen=True)
class Gateway:
    """A running gateway."""

    site: str
    operators: str
    log: Path
    errors: Path

    def statuses(self) -> Counter[int]:
        """Return how often it answered with which status; 499 for clients that did not wait."""
        return Counter(int(found["status"]) for found in self._lines())

    def failed(self) -> list[str]:
        """Return the requests that it answered with 5xx."""
        return [
            f"{found['method']} {found['path']}: {found['status']}"
            for found in self._lines()
            if int(found["status"]) >= 500
        ]

    def _lines(self) -> list[re.Match[str]]:
        return [found for line in self.log.read_text().splitlines() if (found := LINE.search(line))]


@contextmanager
def gateway(folder: Path, sites: Mapping[str, Sequence[str]]) -> Iterator[Gateway]:
    """Run nginx in front of these processes: the addresses of each service."""
    folder.mkdir()
    ports = {"8000": free_port(), "8001": free_port()}
    for name in ("nginx.conf", "routes.conf", "operators-open.conf", "operators-closed.conf"):
        content = (CONFIGURATION / name).read_text()
        content = re.sub(r"listen (800\d);", lambda found: f"listen 127.0.0.1:{ports[found[1]]};", content)
        moved = content.replace("/tmp/", f"{folder}/").replace("/etc/nginx/newswire", str(folder))
        moved = moved.replace("/dev/stdout", f"{folder}/access.log").replace("/dev/stderr", f"{folder}/error.log")
        (folder / name).write_text(moved)
    shutil.copy(folder / "operators-open.conf", folder / "operators.conf")
    shutil.copy(folder / "operators-closed.conf", folder / "operators-in-public.conf")
    (folder / "upstreams.conf").write_text("\n".join(_upstream(name, found) for name, found in sites.items()))
    running = Gateway(
        f"http://127.0.0.1:{ports['8000']}",
        f"http://127.0.0.1:{ports['8001']}",
        folder / "access.log",
        folder / "error.log",
    )
    globally = "daemon off;"
    if os.geteuid() == 0:
        globally += " user root;"  # its workers would have another user, who cannot read the folders of tests
    process = subprocess.Popen(["nginx", "-p", folder, "-c", folder / "nginx.conf", "-g", globally])
    try:
        deadline = time.monotonic() + 30
        while not _answers(running.site):
            assert process.poll() is None, running.errors.read_text()
            assert time.monotonic() < deadline, "nginx does not answer"
            time.sleep(0.05)
        yield running
    finally:
        process.terminate()
        process.wait(DEADLINE_SECONDS)


def _upstream(name: str, sites: Sequence[str]) -> str:
    """Return the addresses of a service. A process that refuses a connection is not left out: it may be back with the next."""
    servers = " ".join(f"server {site.removeprefix('http://')} max_fails=0;" for site in sites)
    return f'upstream {name} {{ {servers} }}\nmap "" ${name} {{ default http://{name}; }}\n'


def _answers(site: str) -> bool:
    try:
        with urllib.request.urlopen(f"{site}/robots.txt", timeout=5) as answer:  # it needs neither Redis nor an index
            return bool(answer.status == 200)
    except OSError:
        return False
