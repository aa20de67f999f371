"""The examples in the documents work."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx

from tests.cli.running import BARE, Running
from tests.conftest import lacking
from tests.polling import DEADLINE_SECONDS

DOCUMENT = Path(__file__).parents[2] / "docs" / "first-article.md"
SITE = "http://127.0.0.1:8000"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def run(program: list[str], text: str, environment: dict[str, str]) -> str:
    done = subprocess.run(program, input=text, capture_output=True, text=True, timeout=60, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_from_a_key_to_the_first_article(start: Callable[..., Running], tmp_path: Path) -> None:
    node = shutil.which("node")
    if node is None or shutil.which("curl") is None:
        lacking("the examples need curl and node")
    running = start(tmp_path / "data", "--no-samples")
    text = DOCUMENT.read_text().replace(SITE, running.site)
    key, curl, python, javascript = (block[2] for block in BLOCK.finditer(text))
    commands = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = BARE | {"PATH": commands, "NEWSWIRE_DATA_DIR": str(running.data_dir)}

    token = run(["sh", "-e"], f"{key}\necho $NEWSWIRE_PUBLISHER_KEY", environment).strip()
    environment["NEWSWIRE_PUBLISHER_KEY"] = token
    for _ in range(2):  # they can be run again
        assert "A first article by curl" in run(["sh", "-e"], curl, environment)
        assert running.site in run([sys.executable, "-"], python, environment)
        assert running.site in run([str(node), "--input-type=module", "-"], javascript, environment)

    headers = {"Authorization": f"Bearer {token}"}
    listed = httpx.get(
        f"{running.site}/v1/articles", headers=headers, trust_env=False, timeout=DEADLINE_SECONDS
    ).json()["articles"]
    assert [(article["title"], article["version"], article["publisher"]) for article in listed] == [
        (f"A first article by {language}", 1, "Harbour Post") for language in ("JavaScript", "Python", "curl")
    ]
