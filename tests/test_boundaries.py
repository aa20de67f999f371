"""Services import the shared package, never each other; only operations and the command line import them."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SERVICES = {"newswire_ingest", "newswire_search", "newswire_notify"}
OPERATIONS = "newswire_operations"
MEMBERS = SERVICES | {OPERATIONS, "newswire_cli"}
MAY_IMPORT = {
    "shared": set(),
    **{f"services/{name.removeprefix('newswire_')}": {name} for name in sorted(SERVICES)},
    "services/operations": SERVICES | {OPERATIONS},
    "cli": MEMBERS,
}


@pytest.mark.parametrize("folder", MAY_IMPORT)
def test_imports_stay_inside_their_boundary(folder: str) -> None:
    for path in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            assert {name.split(".")[0] for name in names} & MEMBERS <= MAY_IMPORT[folder], path
