"""Services import the shared package, never each other; only operations, which answers for all of them, and the command line do.

Domain modules know no HTTP: they raise domain errors, which one module for each service answers as problem documents.
"""

import ast
import re
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
HTTP = re.compile(r"(newswire\.http|fastapi|starlette)(\.|$)")
HTTP_MODULES = re.compile(
    r"(.*_?api|.*_pages|app|__main__|problem_handlers|dependencies|parameters|negotiation|upload_form|batch|normalize)\.py"
)
"""Routes and what only they use; the lines of a batch, which are read and answered like requests; and the importer, which words
mistakes as the API does."""
PAGES_AND_FORMS = {"desk", "newsletters", "portal", "user_mails", "websub"}
"""Packages whose modules read forms and render pages and mails; they do not keep domain and HTTP apart yet."""


@pytest.mark.parametrize("folder", MAY_IMPORT)
def test_imports_stay_inside_their_boundary(folder: str) -> None:
    for path in (ROOT / folder).rglob("*.py"):
        assert {name.split(".")[0] for name in imported(path)} & MEMBERS <= MAY_IMPORT[folder], path


@pytest.mark.parametrize("service", ["ingest", "notify"])
def test_domain_modules_know_no_http(service: str) -> None:
    for path in (ROOT / f"services/{service}").rglob("*.py"):
        if not HTTP_MODULES.fullmatch(path.name) and path.parent.name not in PAGES_AND_FORMS:
            assert not [name for name in imported(path) if HTTP.match(name)], path


def imported(path: Path) -> list[str]:
    """Return the modules that a file imports, anywhere in it."""
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return names
