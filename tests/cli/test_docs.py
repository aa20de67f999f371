"""The documents list every setting, and their links are valid."""

import re
from pathlib import Path

import pytest

from newswire.settings import Settings
from newswire_ingest.settings import IngestSettings
from newswire_notify.settings import NotifySettings
from newswire_operations.settings import OperationsSettings
from newswire_search.settings import SearchSettings

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("settings", [IngestSettings, SearchSettings, NotifySettings, OperationsSettings])
def test_every_setting_is_documented(settings: type[Settings]) -> None:
    described = (ROOT / "docs" / "operators" / "settings.md").read_text()

    missing = [name for name in settings.model_fields if f"`NEWSWIRE_{name.upper()}`" not in described]
    assert missing == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_are_valid(document: Path) -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text())

    assert [target for target in targets if not (document.parent / target).exists()] == []
