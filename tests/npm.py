"""npm packages that tests compare Newswire with, pinned by the lock file next to each test."""

import shutil
import subprocess
from pathlib import Path

from tests.conftest import lacking


def node_with(package: str, folder: Path) -> str:
    """Return the command `node` after installing the packages of a folder, unless this one is installed."""
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        lacking(f"{package} needs node and npm")
        raise AssertionError
    if not (folder / "node_modules" / package).is_dir():
        done = subprocess.run([npm, "ci", "--no-progress"], cwd=folder, capture_output=True, text=True, timeout=100)
        if done.returncode:
            lacking(f"npm could not install {package}: {done.stderr[-500:]}")
    return node
