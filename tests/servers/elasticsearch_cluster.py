"""A cluster of three Elasticsearch nodes on this machine, each of which can be killed, stopped and started again."""

import contextlib
import json
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from tests.servers.elasticsearch import QUICK_TO_START, distribution, java_home
from tests.servers.valkey import free_port

NODES = 3
HEAP = "320m"


class Node:
    """One node, with its own folder and ports."""

    def __init__(self, name: str, folder: Path, http: int, settings: str) -> None:
        self.name = name
        self.url = f"http://127.0.0.1:{http}"
        self._folder = folder / name
        shutil.copytree(distribution() / "config", self._folder / "config")
        (self._folder / "config/elasticsearch.yml").write_text(
            f"node.name: {name}\nhttp.port: {http}\npath.data: {self._folder}/data\npath.logs: {self._folder}/logs\n"
            + settings
        )
        for part in ("data", "logs", "tmp"):
            (self._folder / part).mkdir()
        self._owner = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
        if self._owner:
            subprocess.run(["chown", "-R", f"{self._owner.pw_uid}:{self._owner.pw_gid}", folder], check=True)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; it takes some seconds until it answers."""
        environment = {
            "PATH": os.environ["PATH"],
            "ES_JAVA_HOME": str(java_home()),
            "ES_PATH_CONF": f"{self._folder}/config",
            "ES_TMPDIR": f"{self._folder}/tmp",
            "ES_JAVA_OPTS": f"-Xms{HEAP} -Xmx{HEAP} {QUICK_TO_START}",
            "HOME": str(self._folder),
        }
        with (self._folder / "output").open("ab") as output:
            self._process = subprocess.Popen(
                [distribution() / "bin" / "newswire-launch"], env=environment, cwd=self._folder, stdout=output,
                stderr=output, stdin=subprocess.DEVNULL, start_new_session=True,
                user=self._owner and self._owner.pw_uid, group=self._owner and self._owner.pw_gid,
                extra_groups=[] if self._owner else None,
            )  # fmt: skip

    def kill(self) -> None:
        """Kill it with everything it started."""
        if self._process is not None:
            self.signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def pids(self) -> list[int]:
        """Return the ids of its processes: the launcher, and the server once it runs."""
        if self._process is None:
            return []
        try:
            return [
                self._process.pid,
                *(child.pid for child in psutil.Process(self._process.pid).children(recursive=True)),
            ]
        except psutil.NoSuchProcess:
            return []

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to its processes."""
        for pid in reversed(self.pids()):
            with contextlib.suppress(psutil.NoSuchProcess):
                psutil.Process(pid).send_signal(number)


@contextmanager
def elasticsearch_cluster() -> Iterator[list[Node]]:
    """Yield the nodes of a cluster, once it is green."""
    with tempfile.TemporaryDirectory(prefix="newswire-cluster-", ignore_cleanup_errors=True) as temporary:
        folder = Path(temporary)
        folder.chmod(0o755)
        names = [f"node-{number + 1}" for number in range(NODES)]
        transports = {name: free_port() for name in names}
        common = (
            f"cluster.name: {secrets.token_hex(4)}\nnetwork.host: 127.0.0.1\nxpack.security.enabled: false\n"
            "cluster.routing.allocation.disk.threshold_enabled: false\n"
            f"discovery.seed_hosts: {json.dumps([f'127.0.0.1:{port}' for port in transports.values()])}\n"
            f"cluster.initial_master_nodes: {json.dumps(names)}\n"
        )
        nodes = [
            Node(name, folder, free_port(), f"{common}transport.port: {port}\n") for name, port in transports.items()
        ]
        try:
            for node in nodes:
                node.start()
            wait_until_green(nodes[0], NODES)
            yield nodes
        finally:
            for node in nodes:
                node.kill()


def wait_until_green(node: Node, number: int, seconds: float = 600) -> None:
    """Wait until a node sees so many nodes, and every shard has all its copies."""
    deadline = time.monotonic() + seconds
    query = f"wait_for_nodes={number}&wait_for_status=green&wait_for_no_relocating_shards=true&timeout=5s"
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{node.url}/_cluster/health?{query}", timeout=10) as answer:
                if not json.load(answer)["timed_out"]:
                    return
        except OSError:
            time.sleep(0.3)
    raise RuntimeError(f"the cluster is not green after {seconds:.0f} s")


def master(node: Node) -> str:
    """Return the name of the elected master, as a node sees it."""
    with urllib.request.urlopen(f"{node.url}/_cat/master?h=node&master_timeout=10s", timeout=20) as answer:
        name: str = answer.read().decode().strip()
    return name
