"""Error pages say what is wrong in the language of the reader."""

import pytest

from newswire.http.problem_types import PROBLEM_TYPES
from newswire.http.problems import ProblemError, not_found
from newswire.workspace.problem_texts import problem_text, translations
from newswire.workspace.texts import LANGUAGES

OTHERS = [language for language in LANGUAGES if language != "en"]


@pytest.mark.parametrize("language", OTHERS)
def test_every_language_has_the_same_known_types(language: str) -> None:
    assert translations(language).keys() == translations("de").keys()
    assert translations(language).keys() <= PROBLEM_TYPES.keys()


def test_a_problem_is_translated_and_one_without_translation_has_a_general_text() -> None:
    assert problem_text(not_found("draft"), "de").heading == "Nicht gefunden"
    assert problem_text(not_found("draft"), "en").detail.endswith("such draft.")
    unknown = ProblemError(418, "Teapot", "it is a teapot")
    assert problem_text(unknown, "en") == ("Teapot", "It is a teapot.")
    assert problem_text(unknown, "fr") == translations("fr")["http-error"]
