"""`newswire run` restarts its Valkey whenever it ends, and prints the reason once."""

import resource
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import httpx
import psutil

from tests.cli.running import Running
from tests.polling import DEADLINE_SECONDS, until

Start = Callable[..., Running]


def server_of(running: Running) -> psutil.Process:
    return running.until(lambda: next(filter(is_server, psutil.Process(running.process.pid).children()), None))


def is_server(child: psutil.Process) -> bool:
    try:
        return "valkey" in child.name() and child.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:  # it ended between the two checks
        return False


def post(running: Running, title: str) -> httpx.Response:
    article = {"title": title, "body": "<p>The tide turned.</p>"}
    return httpx.post(f"{running.site}/v1/articles", headers=running.key("PUBLISHER"), json=article, trust_env=False)


def readiness(running: Running) -> dict[str, str]:
    answer = httpx.get(f"{running.site}/status", trust_env=False, timeout=DEADLINE_SECONDS)
    checks: dict[str, str] = answer.json()["checks"]
    return checks


def test_a_killed_valkey_is_restarted_and_nothing_acknowledged_is_lost(start: Start, tmp_path: Path) -> None:
    running = start(tmp_path / "data", "--no-samples")
    running.until_told("q=press+rolled")
    kept = post(running, "Before the kill")
    assert kept.status_code == 201
    for _ in range(3):
        server = server_of(running)
        server.send_signal(signal.SIGKILL)
        running.until(lambda: server_of(running).pid != server.pid or None)  # noqa: B023 (called immediately)
        until(lambda: readiness(running)["run: valkey"] == "ok", 60)
    running.until_told("The embedded Valkey is running again.")
    until(lambda: post(running, "After the kill").status_code == 201, 60)
    until(lambda: readiness(running)["run: valkey"] == "ok", 60)
    answer = httpx.get(f"{running.site}{kept.headers['location']}", headers=running.key("PUBLISHER"), trust_env=False)
    assert answer.json()["title"] == "Before the kill"
    assert "The embedded Valkey was killed by signal 9. Newswire restarts it" in running.told
    assert running.interrupt() == 0
    assert "Traceback" not in running.told
    assert server_of_folder(tmp_path / "data") == []


def server_of_folder(data: Path) -> list[int]:
    found = subprocess.run(["pgrep", "-f", str(data / "valkey")], capture_output=True, text=True, check=False)
    return [int(pid) for pid in found.stdout.split()]


def test_a_server_on_a_full_disk_is_reported_once_and_recovers(start: Start, tmp_path: Path) -> None:
    running = start(tmp_path / "data", "--no-samples")
    running.until_told("q=press+rolled")
    assert post(running, "Before").status_code == 201

    # No file of the server or of Newswire may grow any more: as on a full disk, a write fails in the middle.
    server = server_of(running)
    size = max(path.stat().st_size for path in (tmp_path / "data" / "valkey").rglob("*") if path.is_file())
    for pid in (running.process.pid, server.pid):
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    until(lambda: post(running, "No room for this").status_code == 503, 60)
    told = running.until_told("The embedded Valkey ended with exit code 1")
    assert "File too large" in told.split("The embedded Valkey ended")[1]
    until(lambda: "File too large" in readiness(running)["run: valkey"], 60)
    again = {server.pid}
    while len(again) < 4:  # it is retried repeatedly, but printed once
        again.add(running.until(lambda: server_of(running)).pid)
    assert "Traceback" not in running.told
    assert len(running.told.splitlines()) < 40

    resource.prlimit(running.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    until(lambda: post(running, "Room again").status_code == 201, 90)
    assert running.interrupt() == 0
    assert "Traceback" not in running.told


def test_stored_files_are_readable_by_their_owner_only(start: Start, tmp_path: Path) -> None:
    data = tmp_path / "data"
    (data / "index").mkdir(parents=True)
    (data / "index").chmod(0o755)
    running = start(data, "--no-samples")
    running.until_told("q=press+rolled")
    assert post(running, "Private").status_code == 201
    loose = [
        path for path in data.rglob("*") if path.lstat().st_mode & 0o077 and not path.is_symlink() and path.exists()
    ]
    assert [path for path in loose if not inside_private(path, data)] == []
    assert running.interrupt() == 0


def inside_private(path: Path, data: Path) -> bool:
    """Return whether a parent folder of the data folder is private."""
    parents = [parent for parent in path.parents if data in parent.parents]
    return any(not parent.stat().st_mode & 0o077 for parent in parents)
