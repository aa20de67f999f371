"""Highlights: the right words, and no markup except the marks."""

import re
from html import unescape
from typing import NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newswire.text.highlights import highlight, opening
from newswire.text.query import parse as parse_query
from newswire.text.query_matching import Analysed, analysed
from newswire.text.stems import pieces_in


def parse(q: str) -> Analysed:
    return analysed(parse_query(q), "en")


TEXT = (
    "The ferry left. "
    + "Nothing happened for a long while. " * 20
    + "At night the last ferries and a night ferry returned."
)


@pytest.mark.parametrize(
    ("text", "q", "expected"),
    [
        ("Ferries & boats", "ferry", ["<mark>Ferries</mark> &amp; boats"]),
        ("<script>ferry</script>", "ferry", ["&lt;script&gt;<mark>ferry</mark>&lt;/script&gt;"]),
        ("The Café", "cafe", ["The <mark>Café</mark>"]),
        ("night train, night ferry", '"night ferry"', ["night train, <mark>night</mark> <mark>ferry</mark>"]),
        ("no storm", "ferry -storm", []),
        (
            "O’Brien’s ferry's crew",
            "o'brien ferry",
            ["<mark>O’Brien</mark>’s <mark>ferry</mark>&#x27;s crew"],
        ),
        ("Ferries and firs", "fer*", ["<mark>Ferries</mark> and firs"]),
        ("Écoles", "eco*", ["<mark>Écoles</mark>"]),
        ("東京 – the fer\u00adry", "東京 ferry", ["<mark>東京</mark> – the <mark>fer\u00adry</mark>"]),
        ("ferry ferry ferry", '"ferry ferry"', ["<mark>ferry</mark> <mark>ferry</mark> <mark>ferry</mark>"]),
        ("anything", "", []),
    ],
)
def test_a_whole_text(text: str, q: str, expected: list[str]) -> None:
    assert highlight(text, parse(q), fragments=0) == expected


def test_the_best_passage_comes_first() -> None:
    first, second = highlight(TEXT, parse("night ferry"), fragments=2, width=80)
    assert "<mark>night</mark>" in first
    assert "<mark>ferries</mark>" in first
    assert second.startswith("The <mark>ferry</mark> left.")


@given(
    st.text(alphabet=st.sampled_from("<>&\"' ferynight/script\n")), st.sampled_from(["ferry", "night ferry", '"night"'])
)
def test_marks_are_the_only_markup(text: str, q: str) -> None:
    for passage in highlight(text, parse(q), fragments=3, width=40):
        bare = passage.replace("<mark>", "").replace("</mark>", "")
        assert "<" not in bare
        assert ">" not in bare
        assert unescape(bare).replace("…", "").strip() in text
        assert len(re.findall("<mark>", passage)) == len(re.findall("</mark>", passage)) > 0


def test_different_words_rank_before_a_repeated_word() -> None:
    text = "The night ferry left. " + "Nothing happened for a long while. " * 20 + "Ferry, ferry, ferry!"
    (best,) = highlight(text, parse("night ferry"), fragments=1, width=60)
    assert best.startswith("The <mark>night</mark> <mark>ferry</mark>")


def test_words_close_together_rank_before_distant_ones() -> None:
    apart = "A ferry came in the rain of the evening, and at last it was night. "
    text = apart + "Nothing happened for a long while. " * 20 + "Then came the night ferry."
    (best,) = highlight(text, parse("night ferry"), fragments=1, width=120)
    assert "<mark>night</mark> <mark>ferry</mark>" in best


def test_an_opening_is_escaped_and_ends_with_a_word() -> None:
    assert opening("<b>Ferries & boats sail again", 16) == "&lt;b&gt;Ferries &amp; …"
    assert opening("  short  ", 16) == "short"
    assert opening("", 16) == ""


def test_a_word_with_many_occurrences_is_fast() -> None:
    passages = highlight("ferry boat " * 80_000, parse("ferry -storm"), fragments=3, width=60)
    assert len(passages) == 3
    assert all("<mark>ferry</mark>" in passage for passage in passages)


@given(st.text(), st.text(max_size=50))
def test_no_text_and_no_query_is_an_error(text: str, q: str) -> None:
    for fragments in (0, 2):
        for passage in highlight(text + q, parse(q), fragments=fragments, width=40):
            assert "<mark>" in passage


def test_a_highlight_does_not_visit_the_pieces_of_other_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pieces seen so far are hundreds of thousands: visiting them would take a thousand times as long as the highlight."""
    pieces = type(pieces_in("en"))

    def visited(_: object) -> NoReturn:
        raise AssertionError("all pieces seen so far were visited")

    highlight("Node.js and e-mail left on the ferry", parse("email"), fragments=0)
    for name in ("__iter__", "keys", "values", "items"):
        monkeypatch.setattr(pieces, name, visited, raising=False)
    for text in ("Node.js and e-mail left on the ferry", "An e-mail about unseen-pieces"):
        assert highlight(text, parse("email"), fragments=0) == [text.replace("e-mail", "<mark>e-mail</mark>")]
