"""The writing direction of languages, which pages and mails have in common."""

import pytest

from newswire.text.direction import direction_of


@pytest.mark.parametrize(
    ("language", "direction"),
    [
        ("ar", "rtl"),
        ("ar-EG", "rtl"),
        ("AR_eg", "rtl"),
        ("arz", "rtl"),
        ("he", "rtl"),
        ("fa-IR", "rtl"),
        ("ur", "rtl"),
        ("ckb", "rtl"),
        ("khw", "rtl"),
        ("nqo", "rtl"),
        ("pnb", "rtl"),
        ("yi", "rtl"),
        ("az-Arab", "rtl"),
        ("pa-Arab-PK", "rtl"),
        ("ur-Aran", "rtl"),
        ("ff-Adlm", "rtl"),
        ("zh-cmn-Hant", "ltr"),
        ("ar-Latn", "ltr"),
        ("yi-Latn", "ltr"),
        ("ku", "ltr"),
        ("en", "ltr"),
        ("zh-Hant-TW", "ltr"),
        ("und-Hebr", "rtl"),
        ("und", "auto"),
        ("mul", "auto"),
        ("x-private", "auto"),
        ("", "auto"),
        (None, "auto"),
    ],
)
def test_the_direction_follows_language_and_script(language: str | None, direction: str) -> None:
    assert direction_of(language) == direction
