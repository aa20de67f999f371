"""Text analysis: search, both search engines and the subscription matcher turn a text into terms with this module.

`newswire.text.tokenization` finds the words; the Snowball stemmer of the article's language stems each, and accents are removed.
Texts that can be written in several ways (`newswire.text.compounds`, `newswire.text.word_forms`) are found by each of them: their
alternative terms are appended to the text. Both engines receive the finished terms, separated by spaces, so that their results
agree.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache, partial
from itertools import chain
from typing import Final, NamedTuple, TypeAlias

from newswire.article import Article
from newswire.concurrency.offload import check_deadline
from newswire.text.stems import (
    ALGORITHMS,
    DEFAULT,
    UNSTEMMED,
    Piece,
    bare_words,
    findable_words,
    findable_words_in,
    findable_words_of,
    is_stop_word,
    joined_terms,
    language_of,
    name_term,
    other_terms,
    pieces,
    pieces_in,
    stem,
    terms,
    words,
)
from newswire.text.tokenization import bare
from newswire.text.tokens import Token, joined_tokens, loose_tokens, tokens

__all__ = [
    "ALGORITHMS",
    "BETWEEN",
    "DEFAULT",
    "SEPARATOR",
    "UNSTEMMED",
    "ArticleTerms",
    "Token",
    "analysed_article",
    "article_joined_terms",
    "article_terms",
    "article_words",
    "bare",
    "bare_words",
    "findable_words",
    "is_stop_word",
    "joined_terms",
    "joined_tokens",
    "language_of",
    "loose_tokens",
    "name_term",
    "other_terms",
    "read_article",
    "stem",
    "terms",
    "text_words",
    "title_terms",
    "tokens",
    "value_terms",
    "value_text",
    "whole_title",
    "words",
]

SEPARATOR = "\ue000"
"""A term that no text produces; it is put between fields, so that no phrase matches across two fields."""
BETWEEN = f" {SEPARATOR} "
"""What is put between texts of terms."""

REACH = 4
"""Number of pieces of text on either side of joined words that can be part of a phrase together with them."""


PIECES_OF_SLICE: Final = 2_000
LONG_TEXT: Final = 50_000
LONG_TEXTS_CACHED: Final = 2
"""Limits of the cache of long texts, in characters and number. The same text is often matched for one reader after another, and
takes about 0.1 s to read. One may take 30 MB.
"""


class ArticleTerms(NamedTuple):
    """All terms by which an article is found."""

    text: list[str]
    """The terms of title, summary, body, authors and topics, separated, then the alternative terms."""
    title: list[str]
    joined: list[str]
    """The terms around joined words, in joined form: for phrases that use the joined form."""
    words: set[str]
    """The words as written, without accents: ``prefix*`` is compared with them."""
    whole_title: str
    """The title as one term: its terms, with words that are written as one joined."""
    title_words: Iterable[str]
    """The words of the title as written, without accents, each once: those of `findable_words`, in order."""


VALUES_CACHED: Final = 20_000
VALUE_LENGTH_CACHED: Final = 60
"""Limits of the cache of field values, in number and characters: most articles share publisher, category and topics."""

Read: TypeAlias = list[list[Piece]]
"""The pieces of the texts of an article."""


def analysed_article(article: Article) -> ArticleTerms:
    """Return the terms of an article in its language, and its words.

    They are those of `article_terms`, `title_terms`, `article_joined_terms`, `article_words` and `whole_title`, in four fifths of
    the time: of nearly all pieces, which are one term and nothing else, only that term is looked up.
    """
    texts = _texts(article)
    language = language_of(article.language)
    if any(len(text) > PIECES_OF_SLICE for text in texts):
        read = _read(texts, language)
        text_terms, joined, title = _all_terms(read), _joined_terms(read), read[0]
    else:
        text_terms, joined = _terms_of_short(texts, language)
        (title,) = _read(texts[:1], language)
    return ArticleTerms(
        text_terms,
        _title_terms(title),
        joined,
        _bare(texts),
        " ".join(_joined(title)),
        dict.fromkeys(findable_words_in(texts[0])),
    )


def _terms_of_short(texts: Sequence[Sequence[str]], language: str) -> tuple[list[str], list[str]]:
    """Return `_all_terms` and `_joined_terms` of texts that are not long."""
    pieces_of = pieces_in(language)
    found: list[str] = []
    joined: list[str] = []
    others: list[Piece] = []
    for text in texts:
        if not text:
            continue
        single = list(map(pieces_of.single_terms.get, text))
        start = 0
        joined_at: list[int] = []
        for _ in range(single.count(None)):
            at = single.index(None, start)
            piece = pieces_of[text[at]]
            found += single[start:at]  # type: ignore[arg-type]  # those between are not None
            found += piece.terms
            start = at + 1
            if piece.joined is not None:
                joined_at.append(at)
            others.append(piece)
        found += single[start:]  # type: ignore[arg-type]
        found.append(SEPARATOR)
        if joined_at:
            joined += _joined_around(joined_at, len(text), partial(_pieces_between, pieces_of, text))
    return found[:-1] + _names([others]), joined[1:]


def title_terms(article: Article) -> list[str]:
    """Return the terms of the title alone: as written, with joined words where that differs, and alternative terms."""
    return _title_terms(_read([pieces(article.title)], language_of(article.language))[0])


def whole_title(article: Article) -> str:
    """Return the title as one term: its terms, with words that are written as one joined."""
    (read,) = _read([pieces(article.title)], language_of(article.language))
    return " ".join(_joined(read))


def read_article(article: Article) -> Read:
    """Return the pieces of an article, for callers that make several kinds of terms of it: reading is the slowest step."""
    language = language_of(article.language)
    if len(article.text) < LONG_TEXT:
        return _read(_texts(article), language)
    return _read_long(tuple(_written_texts(article)), language)


@lru_cache(maxsize=LONG_TEXTS_CACHED)
def _read_long(texts: tuple[str, ...], language: str) -> Read:
    return _read(map(pieces, texts), language)


def article_terms(article: Article, read: Read | None = None) -> list[str]:
    """Return the terms by which an article is found: title, summary, body, authors and topics, separated.

    ``read`` is the result of `read_article`, if it was called already.
    """
    return _all_terms(read_article(article) if read is None else read)


def article_joined_terms(article: Article, read: Read | None = None) -> list[str]:
    """Return the terms around joined words, in joined form, with each passage separated from the next."""
    return _joined_terms(read_article(article) if read is None else read)


def article_words(article: Article) -> set[str]:
    """Return the words of an article as written, without accents: ``prefix*`` is compared with them."""
    return _bare(_texts(article))


def text_words(texts: Iterable[str]) -> set[str]:
    """Return the same words of any texts."""
    return _bare(map(pieces, texts))


def value_terms(value: str) -> Sequence[Sequence[str]]:
    """Return the readings of a field's value: its words without accents, and with its alternative terms."""
    return _kept_value_terms(value) if len(value) <= VALUE_LENGTH_CACHED else _value_terms(value)


def value_text(value: str) -> str:
    """Return `value_terms` as one text, with a separator between the readings."""
    return _kept_value_text(value) if len(value) <= VALUE_LENGTH_CACHED else _value_text(value)


@lru_cache(maxsize=VALUES_CACHED)
def _kept_value_text(value: str) -> str:
    return _value_text(value)


def _value_text(value: str) -> str:
    return BETWEEN.join(map(" ".join, value_terms(value)))


@lru_cache(maxsize=VALUES_CACHED)
def _kept_value_terms(value: str) -> Sequence[Sequence[str]]:
    return tuple(map(tuple, _value_terms(value)))


def _value_terms(value: str) -> list[list[str]]:
    read = _read([pieces(value)], UNSTEMMED)[0]
    plain = list(chain.from_iterable(piece.terms for piece in read))
    spelled_out = [other or term for piece in read for term, other in _with_others(piece)]
    names = [[name] for piece in read for name in piece.names]
    found: list[list[str]] = []
    for reading in (plain, _joined(read), spelled_out, *names):
        if reading and reading not in found:
            found.append(reading)
    return found


def _with_others(piece: Piece) -> Iterable[tuple[str, str]]:
    """Pair the term of a piece with its other form. If there are several, it is unknown which belong together: none are paired."""
    if len(piece.terms) == len(piece.others) == 1:
        return [(piece.terms[0], piece.others[0])]
    return [(term, "") for term in piece.terms]


def _texts(article: Article) -> list[list[str]]:
    return list(map(pieces, _written_texts(article)))


def _written_texts(article: Article) -> list[str]:
    return [article.title, article.summary or "", article.text, *article.author_names, *article.topics]


def _read(texts: Iterable[Sequence[str]], language: str) -> Read:
    pieces_of = pieces_in(language)
    return [_read_in_slices(text, pieces_of.__getitem__) for text in texts]


def _read_in_slices(text: Sequence[str], piece_of: Callable[[str], Piece]) -> list[Piece]:
    """Read a text. If there is a deadline, check it regularly: a piece that is not cached takes up to 50 µs."""
    if len(text) <= PIECES_OF_SLICE:
        return list(map(piece_of, text))
    found: list[Piece] = []
    for at in range(0, len(text), PIECES_OF_SLICE):
        check_deadline()
        found += map(piece_of, text[at : at + PIECES_OF_SLICE])
    return found


def _bare(texts: Iterable[Iterable[str]]) -> set[str]:
    return findable_words_of(set(chain.from_iterable(texts)))


def _terms(read: Sequence[Piece]) -> list[str]:
    return list(chain.from_iterable([piece.terms for piece in read]))


def _joined(read: Iterable[Piece]) -> list[str]:
    return list(chain.from_iterable(piece.terms if piece.joined is None else piece.joined for piece in read))


def _all_terms(read: Read) -> list[str]:
    found: list[str] = []
    for text in read:
        if text:
            found += _terms(text)
            found.append(SEPARATOR)
    return found[:-1] + _names(read)


def _names(read: Read) -> list[str]:
    """Return the alternative terms, as often as they occur, and the other forms of words once, separated."""
    found: list[str] = []
    others: set[str] = set()
    for piece in chain.from_iterable(read):
        if piece.names:
            found += piece.names
        if piece.others:
            others.update(piece.others)
    return [term for name in (*found, *sorted(others)) for term in (SEPARATOR, name)]


def _title_terms(read: Sequence[Piece]) -> list[str]:
    plain, joined = _terms(read), _joined(read)
    return [*plain, *([] if joined == plain else [SEPARATOR, *joined]), *_names([list(read)])]


def _joined_terms(read: Read) -> list[str]:
    found: list[str] = []
    for text in read:
        at = [at for at, piece in enumerate(text) if piece.joined is not None]
        found += _joined_around(at, len(text), partial(_slice, text))
    return found[1:]


def _pieces_between(pieces_of: Mapping[str, Piece], text: Sequence[str], first: int, end: int) -> list[Piece]:
    return list(map(pieces_of.__getitem__, text[first:end]))


def _slice(pieces: Sequence[Piece], first: int, end: int) -> Sequence[Piece]:
    return pieces[first:end]


def _joined_around(
    positions: Iterable[int], length: int, pieces_between: Callable[[int, int], Iterable[Piece]]
) -> list[str]:
    """Return the joined terms around these pieces of a text, each passage after a separator."""
    found: list[str] = []
    until = -1
    for at in positions:
        start = max(at - REACH, 0)
        if start > until:
            found.append(SEPARATOR)
            until = start
        found += _joined(pieces_between(until, at + REACH + 1))
        until = min(at + REACH + 1, length)
    return found
