"""The texts of pages: templates read them as attributes of a mapping, so none may have the name of one of its methods."""

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted(path for home in ("shared", "services") for path in (ROOT / home).rglob("texts/*.json"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_text_has_the_name_of_a_method(path: Path) -> None:
    assert [name for name in json.loads(path.read_text()) if hasattr({}, name)] == []


def test_there_are_texts() -> None:
    assert len(FILES) >= 16
