"""Words of different blocks are separate words, and slugs keep the marks of letters."""

from unicodedata import is_normalized
from urllib.parse import unquote

import pytest

from newswire.text.folding import fold
from newswire_ingest.articles.publishing import MAX_SLUG_CHARS, slug
from newswire_ingest.content.sanitise import plain_text, sanitise, word_count


@pytest.mark.parametrize(
    "sent",
    [
        *(
            f"<{name}>night</{name}><{name}>ferry</{name}>"
            for name in "p div section fieldset form dialog hgroup search legend address h1 h6 blockquote pre figure".split()
        ),
        "<table><tr><td>night</td><td>ferry</td></tr></table>",
        "<table><tr><th>night</th></tr><tr><td>ferry</td></tr></table>",
        "<table><caption>night</caption><tr><td>ferry</td></tr></table>",
        "<ul><li>night</li><li>ferry</li></ul>",
        "<menu><li>night</li><li>ferry</li></menu>",
        "<ol><li>night<ul><li>ferry</li></ul></li></ol>",
        "<dl><dt>night</dt><dd>ferry</dd></dl>",
        "<details><summary>night</summary>ferry</details>",
        "night<br>ferry",
        "night<hr>ferry",
    ],
)
def test_blocks_separate_words(sent: str) -> None:
    text = plain_text(sanitise(sent))
    assert text.split() == ["night", "ferry"]
    assert word_count(text) == 2


def test_inline_elements_do_not_separate_words() -> None:
    assert plain_text(sanitise("<p>ni<b>gh</b>t <em>fer</em>ry</p>")) == "night ferry"


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("प्रधानमंत्री का दौरा", "प्रधानमंत्री-का-दौरा"),
        ("น้ำท่วมกรุงเทพ", "น้ําท่วมกรุงเทพ"),
        ("தமிழ் செய்திகள்", "தமிழ்-செய்திகள்"),
        ("বাংলা সংবাদ", "বাংলা-সংবাদ"),
        ("Café – à la carte", "cafe-a-la-carte"),
        ("Straße_nach__Łódź!", "strasse-nach-lodz"),
        ("🚀🚀", "article"),
        ("東京の朝", "東京の朝"),
    ],
)
def test_slugs_keep_the_marks_of_letters(title: str, expected: str) -> None:
    assert unquote(slug(title)) == expected
    assert is_normalized("NFC", unquote(slug(title)))


def test_a_slug_is_not_cut_within_a_letter_and_its_marks() -> None:
    for length in range(MAX_SLUG_CHARS - 3, MAX_SLUG_CHARS + 3):
        cut = unquote(slug("a" * length + "नी" * 4))
        assert len(cut) <= MAX_SLUG_CHARS
        assert not cut.endswith("न")


def test_every_unicode_space_separates_words_and_is_one_space_in_plain_text() -> None:
    spaces = [sign for sign in map(chr, range(0x110000)) if sign.isspace() and sign != "\n"]
    found = {space: plain_text(f"<p>{space}night{space}{space}ferry {space}</p><p>two</p>") for space in spaces}
    assert set(found.values()) == {"night ferry\n\ntwo"}


@pytest.mark.parametrize("word", ["ferry", "fährt"])
def test_a_slug_separates_words_by_one_hyphen(word: str) -> None:
    assert slug(f"  --Night_{word}: 2'000 (times)! ") == f"night-{fold(word)}-2-000-times"
    assert slug("!? --") == "article"
    assert slug(f"{'x' * (MAX_SLUG_CHARS - 1)} {word}") == "x" * (MAX_SLUG_CHARS - 1)
