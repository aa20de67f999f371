"""Services import the shared package, never each other; only the command line knows them all."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SERVICES = {"newswire_ingest", "newswire_search", "newswire_notify"}
MAY_IMPORT = {"shared": set(), "cli": SERVICES, **{f"services/{name[9:]}": {name} for name in sorted(SERVICES)}}


@pytest.mark.parametrize("folder", MAY_IMPORT)
def test_imports_stay_inside_their_boundary(folder: str) -> None:
    for path in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            foreign = {name.split(".")[0] for name in names} & (SERVICES | {"newswire_cli"})
            assert foreign <= MAY_IMPORT[folder] | ({"newswire_cli"} if folder == "cli" else set()), path
