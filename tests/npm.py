"""npm packages that tests compare Newswire with, pinned by the lock file next to each test."""

import fcntl
import shutil
import subprocess
from pathlib import Path

from tests.conftest import lacking


def node_with(package: str, folder: Path) -> str:
    """Return the command `node` after installing the packages of a folder, unless they are installed."""
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        lacking(f"{package} needs node and npm")
        raise AssertionError
    with (folder / "package.json").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several processes of tests need it
        if not (folder / "node_modules/.package-lock.json").exists():  # which npm writes last
            done = subprocess.run([npm, "ci", "--no-progress"], cwd=folder, capture_output=True, text=True, timeout=300)
            if done.returncode:
                lacking(f"npm could not install {package}: {done.stderr[-500:]}")
    return node
