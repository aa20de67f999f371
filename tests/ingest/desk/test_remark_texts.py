"""Remarks on imports are in the language of the page."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from newswire.workspace.texts import LANGUAGES
from newswire_ingest import importing, imports
from newswire_ingest.desk.remark_texts import MAX_CHARS, remark_text

OTHERS = [language for language in LANGUAGES if language != "en"]
REPORTED = {
    "FailedItem",
    "SkippedItem",
    "UnreadableSourceError",
    "UnreadableImportError",
    "HeldBackError",
    "ValueError",
}
VALUE = "7"


def literals(node: ast.expr) -> Iterator[str]:
    """Yield the texts that an expression can be, with a value for what is filled in."""
    match node:
        case ast.Constant(value=str(text)):
            yield text
        case ast.JoinedStr():
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else VALUE for part in node.values)
        case ast.IfExp():
            yield from (*literals(node.body), *literals(node.orelse))
        case ast.BinOp(op=ast.Add()):
            yield from (left + right for left in literals(node.left) for right in literals(node.right))


def remarks_of(path: Path) -> Iterator[str]:
    """Yield the remarks that a module makes: reasons of items, and notes."""
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Call(func=ast.Name(id=name)) if name in REPORTED:
                yield from (text for argument in node.args for text in literals(argument))
            case ast.Call(func=ast.Attribute(value=ast.Name(id="notes" | "repairs"), attr="append")):
                yield from literals(node.args[0])
            case ast.Assign(targets=[ast.Subscript(value=ast.Name(id="notes" | "repairs"), slice=made)]):
                yield from literals(made)


def all_remarks() -> list[str]:
    folders = [Path(str(package.__file__)).parent for package in (importing, imports)]
    found = {text for folder in folders for path in folder.rglob("*.py") for text in remarks_of(path)}
    return sorted(text for text in found if len(re.sub(r"\W", "", text)) > len(VALUE))


@pytest.mark.parametrize("language", OTHERS)
def test_every_remark_of_the_readers_is_translated(language: str) -> None:
    remarks = all_remarks()
    assert len(remarks) > 80
    assert [remark for remark in remarks if remark_text(remark, language).language != language] == []


@pytest.mark.parametrize(
    ("remark", "german"),
    [
        ("summary longer than 2,000 characters: shortened", "Zusammenfassung: länger als 2,000 Zeichen, gekürzt"),
        (
            "the date '31.31.2020' cannot be read: published at the time of the import",
            "das Datum '31.31.2020' ist nicht lesbar: veröffentlicht zum Zeitpunkt des Imports",
        ),
        ("is of type 'page', not a post", "ist vom Typ 'page', kein Beitrag"),
        (
            "a date is a number: read as Unix time; the date '1/2/2020' has two meanings: read as day/month",
            "ein Datum ist eine Zahl: als Unixzeit gelesen; das Datum '1/2/2020' ist zweideutig: als Tag/Monat gelesen",
        ),
    ],
)
def test_what_is_filled_in_is_kept(remark: str, german: str) -> None:
    assert remark_text(remark, "de").text == german


def test_what_has_no_translation_is_shown_in_english() -> None:
    for remark in ("Something new", "x" * (MAX_CHARS + 1), "is empty" * 200):
        assert remark_text(remark, "fr") == (remark, "en")
    assert "--format" not in remark_text("has no supported format; --format selects one if detection fails", "en").text
