"""The built wheels, installed into an empty environment: each declares its imports, and together they run Newswire."""

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.cli.running import Running

ROOT = Path(__file__).parents[2]
MEMBERS = {
    "newswire": "shared",
    "newswire_ingest": "services/ingest",
    "newswire_search": "services/search",
    "newswire_notify": "services/notify",
    "newswire_operations": "services/operations",
    "newswire_cli": "cli",
}
"""Package → folder, in the order of their dependencies."""
OF_EXTRA = "newswire.observability.span_export"
"""The module that needs the extra `otel`."""
IMPORT_ALL = """
import importlib, pkgutil, sys
package = importlib.import_module(sys.argv[1])
for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
    if not module.name.endswith(".__main__") and module.name != sys.argv[2]:
        importlib.import_module(module.name)
"""
CLEAN = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "NEWSWIRE_"))}


def run(*command: str | Path) -> None:
    ended = subprocess.run([*command], capture_output=True, text=True, timeout=600, env=CLEAN, check=False)
    assert ended.returncode == 0, f"{command}\n{ended.stdout[-3000:]}\n{ended.stderr[-3000:]}"


def build(folder: Path) -> dict[str, Path]:
    members = [str(ROOT / member) for member in MEMBERS.values()]
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder)]
    run(sys.executable, "-m", "pip", "wheel", *options, *members)
    return {wheel.name.partition("-")[0]: wheel for wheel in folder.glob("*.whl")}


def pinned(folder: Path) -> Path:
    """The versions of the lock file as constraints; hashes cannot be used, because our own wheels have none."""
    lines = (ROOT / "requirements-run.lock").read_text().splitlines()
    constraints = folder / "constraints.txt"
    constraints.write_text("\n".join(line.removesuffix(" \\") for line in lines if re.match(r"[a-z0-9].*==", line)))
    return constraints


def install(python: Path, constraints: Path, wheels: Sequence[str | Path]) -> None:
    """Install with uv, in a tenth of pip's time; fall back to pip if uv reaches no index, as the Makefile does."""
    options: list[str | Path] = ["--quiet", "-c", constraints, *wheels]
    by_uv: list[str | Path] = [sys.executable, "-m", "uv", "pip", "install", "--python", python, *options]
    if subprocess.run(by_uv, capture_output=True, timeout=600, env=CLEAN, check=False).returncode != 0:
        run(python, "-m", "pip", "--disable-pip-version-check", "install", "--no-compile", *options)


@pytest.mark.timeout(900)
def test_the_wheels_install_into_an_empty_environment_and_run(tmp_path: Path) -> None:
    wheels = build(tmp_path / "wheels")
    assert sorted(wheels) == sorted(MEMBERS)
    constraints = pinned(tmp_path)
    run(sys.executable, "-m", "venv", tmp_path / "venv")
    python = tmp_path / "venv" / "bin" / "python"
    installed: list[Path] = []
    for package in MEMBERS:
        installed.append(wheels[package])
        install(python, constraints, installed)
        run(python, "-I", "-c", IMPORT_ALL, package, OF_EXTRA)
    command = [str(tmp_path / "venv" / "bin" / "newswire")]
    german = {"NEWSWIRE_SITE_LANGUAGE": "de"}  # its texts are files of a wheel
    running = Running(tmp_path / "data", "--no-samples", command=command, environment=german)
    try:
        running.until_ready()
        front = running.get("/")
        assert (front.status_code, "Neueste Artikel" in front.text) == (200, True)
    finally:
        assert running.interrupt() == 0
    install(python, constraints, [f"{wheels['newswire']}[otel]"])
    run(python, "-I", "-c", f"import {OF_EXTRA}")
