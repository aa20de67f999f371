"""The markup of pages and mails, checked by the Nu HTML checker (validator.github.io)."""

import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.conftest import lacking
from tests.npm import node_with

HERE = Path(__file__).parent
JAR = HERE / "node_modules" / "vnu-jar" / "build" / "dist" / "vnu.jar"


def markup_errors(documents: Mapping[str, str], folder: Path) -> list[str]:
    """Return what is wrong with documents: name, line and message. They are written below a folder first."""
    node_with("vnu-jar", HERE)
    java = shutil.which("java")
    if java is None:
        lacking("the Nu HTML checker needs java")
        raise AssertionError
    pages = folder / "pages"
    pages.mkdir()
    names = {}
    for number, (name, document) in enumerate(documents.items()):
        file = pages / f"{number}.html"
        file.write_text(document, "utf-8")
        names[file.name] = name
    command = [java, "-jar", str(JAR), "--errors-only", "--format", "json", "--exit-zero-always", str(pages)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    messages = json.loads(done.stderr)["messages"]
    return [
        f"{names.get(each.get('url', '').rpartition('/')[2], '?')}, line {each.get('lastLine')}: {each['message']}"
        for each in messages
    ]
