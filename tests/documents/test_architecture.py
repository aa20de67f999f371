"""The path of one article in docs/architecture.md: every file and every name in it exists."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HOMES = (
    ROOT,
    ROOT / "services/ingest/newswire_ingest",
    ROOT / "services/notify/newswire_notify",
    ROOT / "services/search/newswire_search",
)
_ROW = re.compile(r"^\| `([\w/]+\.(?:py|lua))` \| `([\w.]+)` \|", re.MULTILINE)
_ASIDE = re.compile(r"`([\w/]+\.py)` \(`([\w.]+)`\)")


def steps() -> list[tuple[str, str]]:
    text = (ROOT / "docs/architecture.md").read_text()
    return [*_ROW.findall(text), *_ASIDE.findall(text)]


def names(tree: ast.AST, within: str = "") -> Iterator[str]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
            yield f"{within}{node.name}"
            yield from names(node, f"{node.name}.")


def test_there_are_steps() -> None:
    assert len(steps()) > 20


@pytest.mark.parametrize(("file", "name"), steps())
def test_each_step_exists(file: str, name: str) -> None:
    found = [home / file for home in HOMES if (home / file).is_file()]
    assert len(found) == 1, f"{file}: {found}"
    text = found[0].read_text()
    if file.endswith(".lua"):
        assert f"register('{name}'" in text
    else:
        assert name in set(names(ast.parse(text)))


def test_the_folders_exist() -> None:
    text = (ROOT / "docs/architecture.md").read_text()
    for home in HOMES[1:]:
        row = next(line for line in text.splitlines() if line.startswith(f"| `{home.relative_to(ROOT)}`"))
        said = {found for found in re.findall(r"`(\w+)/`", row) if (home / found).is_dir()}
        there = {path.name for path in home.iterdir() if (path / "__init__.py").exists()}
        assert said == there
