"""The texts of the desk are complete in four languages, and no template or script asks for another one."""

import re
from importlib.resources import files
from pathlib import Path
from string import Formatter

import pytest

from newswire.workspace.texts import LANGUAGES, texts
from newswire_ingest.desk.assets import PACKAGE

TEMPLATES = Path(str(files(PACKAGE) / "templates"))


def placeholders(text: str) -> set[str | None]:
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_has_every_text_with_its_placeholders(language: str) -> None:
    english, translated = texts("en", PACKAGE), texts(language, PACKAGE)
    assert translated.keys() == english.keys()
    for name, text in translated.items():
        assert text, name
        assert placeholders(text) == placeholders(english[name]), name


def test_templates_use_known_texts() -> None:
    known = texts("en", PACKAGE)
    for path in TEMPLATES.glob("*.html"):
        content = path.read_text()
        assert set(re.findall(r"(?<![\w.])t\.(\w+)", content)) - {"get"} <= known.keys(), path
        for prefix in re.findall(r"\bt\['(\w+)' ~", content):
            assert any(name.startswith(prefix) for name in known), (path, prefix)
