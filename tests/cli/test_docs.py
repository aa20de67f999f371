"""The documents list every setting, and their links are valid."""

import re
from datetime import timedelta
from pathlib import Path

import pytest

from newswire.settings import Settings
from newswire_cli.local.known_settings import COMMAND_LINE_VARIABLES, IGNORED_VARIABLES, setting_names
from newswire_ingest.settings import IngestSettings
from newswire_notify.settings import NotifySettings
from newswire_operations.settings import OperationsSettings
from newswire_search.settings import SearchSettings

ROOT = Path(__file__).parents[2]
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
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
        if path.parent.name != "decisions" and path.name != "CHANGELOG.md"  # they name what there was
        for name in re.findall(r"\bNEWSWIRE_([A-Z][A-Z0-9_]*[A-Z0-9])\b", path.read_text())
    }
    assert len(named) > 200
    wrong = {(name, place) for name, place in named if name not in known and name.removesuffix("_FILE") not in known}
    assert sorted(each for each in wrong if not IGNORED_VARIABLES.match(each[0])) == []


@pytest.mark.parametrize("settings", [IngestSettings, SearchSettings, NotifySettings])
def test_every_length_of_time_is_read_in_the_documented_forms(
    settings: type[Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    times = [name for name, field in settings.model_fields.items() if field.annotation is timedelta]
    assert len(times) >= 3
    for text in ("1h", "60m", "3600s"):
        for name in times:
            monkeypatch.setenv(f"NEWSWIRE_{name.upper()}", text)
        assert {name: getattr(settings(), name) for name in times} == dict.fromkeys(times, timedelta(hours=1))
    for name in times:
        if name != "mail_jitter":  # at most an hour
            monkeypatch.setenv(f"NEWSWIRE_{name.upper()}", "2d")
            assert getattr(settings(), name) == timedelta(days=2)


def headings(document: Path) -> set[str]:
    """Return the anchors of a document's headings, as GitHub makes them."""
    text = re.sub(r"```.*?```", "", document.read_text(), flags=re.DOTALL)
    titles = (re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title) for title in re.findall(r"^#+ (.*)$", text, re.MULTILINE))
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_are_valid(document: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]*))?\)", document.read_text())
    targets = [(document.parent / path if path else document, anchor) for path, anchor in links]

    assert [str(path) for path, _ in targets if not path.exists()] == []
    anchors = [(path, anchor) for path, anchor in targets if anchor and path.suffix == ".md"]
    assert [f"{path}#{anchor}" for path, anchor in anchors if anchor not in headings(path)] == []
