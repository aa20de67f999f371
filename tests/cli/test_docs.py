"""The documents list every setting, and their links are valid."""

import re
from pathlib import Path

import pytest

from newswire.settings import Settings
from newswire_cli.local.known_settings import COMMAND_LINE_VARIABLES, IGNORED_VARIABLES, setting_names
from newswire_ingest.settings import IngestSettings
from newswire_notify.settings import NotifySettings
from newswire_operations.settings import OperationsSettings
from newswire_search.settings import SearchSettings

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
OF_DEPLOYMENT = [*ROOT.glob("docker-compose*.yml"), *ROOT.glob("deploy/**/*.yaml"), *ROOT.glob("compose/*")]
OTHERS = {"GATEWAY_OPERATORS", "ADVISORIES", "AUDIT_IGNORE", "AUDIT_REQUIRED"}
"""What the compose file and `make audit` read."""
PLACEHOLDERS = {"X", "X_FILE"}


@pytest.mark.parametrize("settings", [IngestSettings, SearchSettings, NotifySettings, OperationsSettings])
def test_every_setting_is_documented(settings: type[Settings]) -> None:
    described = (ROOT / "docs" / "operators" / "settings.md").read_text()

    missing = [name for name in settings.model_fields if f"`NEWSWIRE_{name.upper()}`" not in described]
    assert missing == []


def test_every_setting_that_is_named_exists() -> None:
    known = setting_names() | COMMAND_LINE_VARIABLES | OTHERS | PLACEHOLDERS
    named = {
        (name, path.name)
        for path in (*DOCUMENTS, *OF_DEPLOYMENT)
        if path.parent.name != "decisions"  # records name what there was
        for name in re.findall(r"\bNEWSWIRE_([A-Z][A-Z0-9_]*[A-Z0-9])\b", path.read_text())
    }
    assert len(named) > 200
    wrong = {(name, place) for name, place in named if name not in known and name.removesuffix("_FILE") not in known}
    assert sorted(each for each in wrong if not IGNORED_VARIABLES.match(each[0])) == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_are_valid(document: Path) -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text())

    assert [target for target in targets if not (document.parent / target).exists()] == []
