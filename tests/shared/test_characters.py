"""Real words of many scripts are valid; invisible and misleading characters are not."""

import pytest

from newswire.text.folding import fold
from newswire.validation.characters import (
    escaped,
    has_visible_text,
    headline_violation,
    label_violation,
    prose_violation,
)

WORDS = [
    "Politics",
    "R&D / C++",
    "Économie",
    "E\u0301conomie",
    "Điện ảnh Việt Nam",
    "Vie\u0323\u0302t",  # decomposed
    "ข่าวการเมือง",
    "น้ำ ก๊าซ ปั๊ม",
    "हिन्दी समाचार",
    "ज़िन्दगी र्\u200dय",
    "राष्ट्रीयत्वांचा",
    "বাংলাদেশ র\u200d্যাব",
    "ශ්\u200dරී ලංකා",
    "മലയാളം അവന്\u200d",
    "ಕನ್ನಡ ರ\u200d್ಯ",
    "தமிழ் க்\u200cஷ",
    "العربية",
    "اللُّغَةُ العَرَبِيَّةُ",
    "۱۴۴۵ه\u200d",
    "می\u200cخواهم",
    "خبرگزاری\u200cها",
    "اردو صحافت",
    "עברית",
    "שָׁלוֹם",
    "בְּרֵאשִׁ֖ית",
    "中文新闻",
    "葛\U000e0100城",
    "日本語ニュース",
    "한국어",
    "ភាសា\u200bខ្មែរ",
    "མཁྱེན་བསྒྲུབས",
    "ཧཱུྃ",
    "ᠮᠣᠩᠭᠣᠯ\u180eᠠ",
    "Ελληνική πολιτική",
    "ᾧ μῆνιν",
    "Українські новини",
    "ქართული",
    "አማርኛ",
    "❤\ufe0f",
    "1\ufe0f\u20e3",
    "👩\U0001f3fd\u200d🚒",
    "👨\u200d👩\u200d👧\u200d👦",
    "🏳\ufe0f\u200d⚧\ufe0f",
    "🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f",
]

NEVER_IN_LABELS = [
    "\u200b",
    "\u200c",
    "\u200d",
    "\u200e",
    "\u200f",
    "\u061c",
    "\u00ad",
    "\u2060",
    "\u2064",
    "\ufeff",
    "\u034f",
    "\u115f",
    "\u3164",
    "\uffa0",
    "\u2800",
    "\ufe0f",
    "\ufe00",
    "\U000e0100",
    "\u180e",
    "\U000e0041",
    "\ue000",
    "\ufdd0",
    "\U0001ffff",
    "\u206a",
    "\ufff9",
]
NEVER_IN_A_LINE = ["\x00", "\x07", "\x0b", "\x0c", "\x1b", "\x1f", "\x7f", "\x85", "\x9b", "\u2028", "\u2029"]
OVERRIDES = ["\u202d", "\u202e"]
UNENDED = ["\u202a", "\u202b", "\u202c", "\u2066", "\u2067", "\u2068", "\u2069"]


@pytest.mark.parametrize("word", WORDS)
def test_real_words_are_valid_in_every_field(word: str) -> None:
    assert label_violation(word) is None
    assert headline_violation(word) is None
    assert prose_violation(word) is None
    assert has_visible_text(word)
    assert fold(word)


@pytest.mark.parametrize("char", NEVER_IN_LABELS + NEVER_IN_A_LINE + OVERRIDES + UNENDED)
def test_labels_must_not_contain_invisible_characters(char: str) -> None:
    for text in (f"Elec{char}tions", f"{char}Elections", f"Elections{char}", f"El{char}{char}ections"):
        assert label_violation(text), ascii(text)


@pytest.mark.parametrize("char", NEVER_IN_A_LINE + OVERRIDES + UNENDED)
def test_headlines_must_not_contain_control_characters(char: str) -> None:
    assert headline_violation(f"Bridge{char} reopens")


@pytest.mark.parametrize("char", [char for char in NEVER_IN_A_LINE if char not in "\u2028\u2029"] + OVERRIDES + UNENDED)
def test_prose_must_not_contain_control_characters(char: str) -> None:
    assert prose_violation(f"Bridge{char} reopens")


def test_prose_may_have_lines_and_headlines_hyphens_and_direction_marks() -> None:
    assert prose_violation("One.\r\n\tTwo.\u2028Three.") is None
    for text in ("Haus\u00adtür", "עברית\u200f C++", "\u2067עברית\u2069 and \u2068more\u2069", "\u202bعربي\u202c"):
        assert headline_violation(text) is None
    assert headline_violation("\u2067עברית\u202c")


@pytest.mark.parametrize(
    "text", ["e" + "\u0301" * 2, "E\u0335\u0336\u0337\u0338\u0301\u0302", "\u0301e", "a \u0301", "ก" + "\u0e48" * 2]
)
def test_combining_marks_need_a_base_and_are_limited(text: str) -> None:
    assert label_violation(text)


@pytest.mark.parametrize(
    "text", ["", " ", "\u200b", "\u3164", "\u2800", "\u00ad\u200d", "\ufeff", "\u2062", "\u0301", "\U000e0041"]
)
def test_invisible_text_counts_as_blank(text: str) -> None:
    assert not has_visible_text(text)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("می\u200cخواهم", "میخواهم"),
        ("ශ්\u200dරී", "ශ්රී"),
        ("ភាសា\u200bខ្មែរ", "ភាសាខ្មែរ"),
        ("❤\ufe0f", "❤"),
        ("葛\U000e0100城", "葛城"),
        ("ᠮᠣᠩᠭᠣᠯ\u180eᠠ", "ᠮᠣᠩᠭᠣᠯᠠ"),
        ("Haus\u00adtür", "Haustür"),
    ],
)
def test_spellings_that_differ_in_invisible_characters_are_equal(left: str, right: str) -> None:
    assert fold(left) == fold(right)


def test_control_characters_are_escaped_for_the_terminal() -> None:
    assert escaped("\x1b[2Jred\x9b\u202e\r\n") == "\\u001b[2Jred\\u009b\\u202e\\u000d\\u000a"
    for word in ("ferry", "Việt Nam", "می\u200cخواهم", "日本 語", "a\u00a0b"):
        assert escaped(word) == word
