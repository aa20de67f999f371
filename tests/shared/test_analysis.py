"""Text analysis."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from newswire.article import Article, Author
from newswire.filters import field_terms, field_text
from newswire.text import folding, stems, tokenization
from newswire.text.analysis import (
    ALGORITHMS,
    DEFAULT,
    LONG_TEXT,
    SEPARATOR,
    UNSTEMMED,
    analysed_article,
    article_joined_terms,
    article_terms,
    article_words,
    findable_words,
    is_stop_word,
    joined_tokens,
    language_of,
    loose_tokens,
    stem,
    terms,
    title_terms,
    tokens,
    whole_title,
    words,
)
from newswire.text.folding import fold
from newswire.text.stems import pieces, pieces_in
from tests.contract.table import HARD_TOKENS, articles
from tests.search.samples import article


@pytest.mark.parametrize(("text", "expected"), HARD_TOKENS)
def test_hard_tokens(text: str, expected: list[str]) -> None:
    assert terms(text) == expected


@given(st.text())
def test_terms_contain_no_white_space_and_tokens_are_inside_the_text(text: str) -> None:
    found = tokens(text, set(terms(text)))
    assert [term for token in found for term in token.terms] == terms(text)
    assert all(terms(text)[token.position :][: len(token.terms)] == list(token.terms) for token in found)
    assert all(term and not any(char.isspace() for char in term) and term != SEPARATOR for term in terms(text))
    assert all(0 <= token.start < token.end <= len(text) for token in found)


def test_only_wanted_words_are_tokens_with_their_positions() -> None:
    text = "½ night ferry, the Ferries' night"
    assert tokens(text, {"ferri"}) == [(8, 13, 3, ("ferri",)), (19, 26, 5, ("ferri",))]
    assert tokens(text, {"harbour"}) == []


@given(
    st.lists(
        st.sampled_from(
            ["ferry's", "Ferries", "it's s", "o's's", "x_ferry", "DYING", "skis", "a`s", "9s", "'s", "-", "é", "fer"]
        )
    ),
    st.sampled_from(["ferri", "s", "it", "die", "ski", "9s", "o"]),
    st.sampled_from([(), ("fer",), ("s",)]),
)
@example(["9s", "ferry's"], "ferri", ("s",))
def test_loose_tokens_are_the_same_words(parts: list[str], wanted: str, beginnings: tuple[str, ...]) -> None:
    for glue in (" ", "", "_"):
        text = glue.join(parts)
        loose = loose_tokens(text, {wanted}, "en", beginnings)
        assert [token._replace(position=0) for token in tokens(text, {wanted}, "en", beginnings)] == [
            token._replace(position=0) for token in loose
        ]


@given(
    st.lists(
        st.sampled_from(
            ["e-mail", "E-Mails", "furnit-ure", "furniture", "Furniture's", "foo.bar", "onio-n", "oni-oni.on", "R & D",
             "co-operate", "cooper", "-", "'", ".", "x", "mail", "e", "aa-a", "aa", "state-of-the-art", "é",
             "U.S.A", "us-a", "ab-abac", "abab", "email's", "on-ion's", "o'il", "_", "3", "dy-ing"]
        )
    ),
    st.sampled_from(
        ["email", "furnitur", "foobar", "onion", "cooper", "mail", "rd", "r&d", "aaaa", "stateof", "artx", "usa", "abac",
         "ababac", "oil", "die"]
    ),
)  # fmt: skip
def test_joined_words_are_the_same_without_reading_the_text_first(parts: list[str], wanted: str) -> None:
    for glue in (" ", "", "-", "."):
        text = glue.join(parts)
        found = joined_tokens(text, frozenset({wanted}), "en", phrases=False)
        if not found:
            assert all(wanted not in pieces_in("en")[chunk].names for chunk in pieces(text)), text


_WORDS = [text for text, _ in HARD_TOKENS] + [
    "ferry", "Ferries,", "U.S.", "e-mail", "1,000", "C++", "O'Brien", "Müller", "Häuser", "дом", "日本語", "ครู", "🚀", "R&D",
    "state-of-the-art", "3.5", "don't", "covid19", "l'été", "(night)", "the", "WHO", "½",
]  # fmt: skip
_SOME_WORDS = st.lists(st.sampled_from(_WORDS) | st.text(max_size=6), max_size=30).map(" ".join)


@given(_SOME_WORDS, _SOME_WORDS, st.lists(_SOME_WORDS, max_size=2), st.sampled_from(["en", "de", "fr", "ja", "sw"]))
def test_the_terms_of_an_indexed_article_are_those_of_each_kind(
    title: str, text: str, topics: list[str], language: str
) -> None:
    authors = [Author.model_construct(name=name) for name in ("", title)]
    for _ in range(2):  # the second time, all pieces are known
        members = {
            "title": title,
            "summary": None,
            "text": text,
            "topics": topics,
            "authors": authors,
            "language": language,
        }
        made = Article.model_construct(None, **members)  # type: ignore[arg-type]  # the others are not analysed
        found = analysed_article(made)
        assert found.text == article_terms(made)
        assert found.title == title_terms(made)
        assert found.joined == article_joined_terms(made)
        words = {word for each in (title, text, *topics) for word in findable_words(each)}
        assert found.words == article_words(made) == words
        assert found.whole_title == whole_title(made)
        assert list(found.title_words) == list(dict.fromkeys(findable_words(title)))
        for field in ("topic", "author"):
            assert field_text(made, field) == " ".join(field_terms(made, field))


def test_the_terms_of_a_long_article_are_those_of_each_kind() -> None:
    made = article("a1", "U.S. ferries", "An e-mail left. " * 2000)
    assert analysed_article(made)[:3] == (article_terms(made), title_terms(made), article_joined_terms(made))


def test_an_english_stem_shares_the_beginning_of_its_word() -> None:
    from tests.search.test_agreement import english_words

    stems = {word.lower(): terms(word)[0] for word in english_words() if word.isascii()}
    assert not [word for word, stem in stems.items() if not word.startswith(stem[: max(1, len(stem) - 2)])]


UNPLAIN = " \u00ad"
"""A character without a term that requires Unicode properties to be read."""


def test_plain_text_patterns_treat_every_character_alike() -> None:
    signs = [chr(code) for code in range(0x3000) if not 0xD800 <= code < 0xE000]
    assert [terms(f"a{sign}a") for sign in signs] == [terms(f"a{sign}a{UNPLAIN}") for sign in signs]


@given(st.text(st.sampled_from("aSsé½ _'’‘`´′“”–…\n3")))
def test_a_plain_text_has_the_same_terms(text: str) -> None:
    assert terms(text) == terms(text + UNPLAIN)


@given(st.lists(st.text()))
def test_splitting_at_spaces_gives_the_same_terms(texts: list[str]) -> None:
    found = [term for text in texts for term in terms(text)]
    assert " ".join(found).split() == found
    assert terms(" ".join(texts)) == found


def test_stop_words_are_compared_as_words() -> None:
    assert is_stop_word("own", "en")
    assert not is_stop_word("owned", "en")
    assert is_stop_word("für", "de")
    assert not is_stop_word("für", "en")


LANGUAGES = [*ALGORITHMS, UNSTEMMED]


@given(st.text(), st.sampled_from(LANGUAGES))
def test_the_terms_of_a_text_are_the_stems_of_its_words(text: str, language: str) -> None:
    assert terms(text, language) == [stem(word, language) for word in words(text)]
    assert all(term and not any(char.isspace() for char in term) for term in terms(text, language))


@pytest.mark.parametrize(
    ("language", "one", "other"),
    [
        ("en", "houses", "house"),
        ("de", "Häuser", "Hauses"),
        ("fr", "journaux", "journal"),
        ("es", "canciones", "canción"),
        ("pt", "informações", "informação"),
        ("it", "città", "CITTÀ"),
        ("it", "giornali", "giornale"),
        ("nl", "huizen", "huis"),
        ("sv", "tidningarna", "tidning"),
        ("no", "husene", "hus"),
        ("da", "husene", "hus"),
        ("fi", "talossa", "talot"),
        ("ru", "новые", "новый"),
        ("ar", "الكتاب", "كتاب"),
    ],
)
def test_forms_of_a_word_have_one_term(language: str, one: str, other: str) -> None:
    assert terms(one, language) == terms(other, language)


@pytest.mark.parametrize(
    ("tag", "expected"),
    [("en-GB", "en"), ("und", DEFAULT), ("", DEFAULT), ("nb", "no"), ("pt-BR", "pt"), ("sw", UNSTEMMED), ("DE", "de")],
)
def test_the_analysis_of_a_language(tag: str, expected: str) -> None:
    assert language_of(tag) == expected


@pytest.mark.parametrize(
    ("tag", "written", "typed"),
    [
        ("fr", "mangée", "mangee"),
        ("pt", "informações", "informacoes"),
        ("it", "città", "citta"),
        ("de", "Häuser", "hauser"),
    ],
)
def test_accents_need_not_be_typed(tag: str, written: str, typed: str) -> None:
    sent = articles()[0].model_copy(update={"language": tag, "text": f"… {written} …", "title": written})
    language = language_of(tag)
    (typed_term,) = terms(typed, language)
    assert typed_term in article_terms(sent)
    assert typed_term in title_terms(sent)
    assert [token.start for token in tokens(sent.text, {typed_term}, language)] == [2]


@given(st.text())
def test_folding_twice_changes_nothing(text: str) -> None:
    assert fold(fold(text)) == fold(text)


def test_phrases_do_not_match_across_fields() -> None:
    ferry = next(article for article in articles() if article.id == "ferry")
    assert article_terms(ferry)[: len(title_terms(ferry)) + 1] == [*title_terms(ferry), SEPARATOR]
    assert article_terms(ferry).count(SEPARATOR) == 5


def test_characters_split_without_unicode_properties_have_only_one_form() -> None:
    letters = [chr(code) for code in range(0x80, 0x20000) if not 0xD800 <= code < 0xE000]
    plain = list(filter(tokenization.is_plain_paired, letters))
    assert len(plain) > 30_000
    for letter in plain:
        assert tokenization.is_paired(letter)
        assert tokenization.compatible(letter) == fold(letter) == letter
        assert list(tokenization.word_pattern(letter).findall(letter)) == [letter]
    for run in map("".join, zip(plain, plain[1:], plain[2:], strict=False)):
        assert tokenization.compatible(run) == fold(run) == run


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("港湾局", ["港湾", "湾局"]),
        ("港", ["港"]),
        ("サーバー", ["サー", "ーバ"]),
        ("は\u309aと", ["ぱと"]),
        ("Straße", ["strasse"]),
        ("ŉÉTÉ", ["nété"]),
        ("ĲSSEL", ["ijssel"]),
        ("Éx" * 200, ["éx" * 127 + "é"]),
    ],
)
def test_the_fast_path_for_words_gives_the_same_result(word: str, expected: list[str]) -> None:
    assert tokenization.written(word) == expected


def test_cached_long_articles_have_the_same_terms_as_short_ones() -> None:
    words = "The ferry, e-mail and C++. 港湾局は火曜日 " * 2_000
    assert len(words) > LONG_TEXT
    for language in ("en", "de", "en"):
        made = article("a1", "Ferry", words, language=language)
        found = analysed_article(made)
        for _ in range(2):
            assert article_terms(made) == found.text
            assert article_joined_terms(made) == found.joined
    other = article("a1", "Ferry", words + "lighthouse", language="en")
    assert "lighthous" in article_terms(other)


CHUNKS = st.text(st.sampled_from("aAbBzSiwtho.,;:!?()\"'-+#@$%&/_107étÄßøİıæﬁ"), max_size=8)


@given(CHUNKS, st.sampled_from(["en", "de", "fr", "tr", "fi", UNSTEMMED]))
def test_the_fast_path_for_a_single_word_equals_its_units(chunk: str, language: str) -> None:
    made, bare = stems._Pieces(language)[chunk], stems._BareWords()[chunk]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stems, "_lone_word", lambda _: "")
        assert stems._Pieces(language)[chunk] == made
        assert stems._BareWords()[chunk] == bare


@pytest.mark.parametrize(
    ("chunk", "term"),
    [("Harbours", "harbour"), ('("ferries,"', "ferri"), ("Été.", "ete"), ("Größe", "gross"), ("1984,", "1984")],
)
def test_a_single_word_is_not_searched_for_units(monkeypatch: pytest.MonkeyPatch, chunk: str, term: str) -> None:
    monkeypatch.delattr(stems, "units")
    assert stems._Pieces("en")[chunk].terms == (term,)


@given(st.text(st.characters(max_codepoint=0x24F)))
def test_latin_letters_can_be_folded_one_by_one(text: str) -> None:
    assert fold(text) == " ".join(folding._folded(text).split())
