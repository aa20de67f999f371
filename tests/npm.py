"""Packages of npm that tests compare Newswire with, by the lock file beside each test that uses them."""

import shutil
import subprocess
from pathlib import Path

from tests.conftest import lacking


def node_with(package: str, folder: Path) -> str:
    """Return the command `node`, once a folder's packages are installed: this one is looked for."""
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        lacking(f"{package} needs node and npm")
        raise AssertionError
    if not (folder / "node_modules" / package).is_dir():
        done = subprocess.run([npm, "ci", "--no-progress"], cwd=folder, capture_output=True, text=True, timeout=100)
        if done.returncode:
            lacking(f"npm could not install {package}: {done.stderr[-500:]}")
    return node
