"""Words with several spellings: e-mail and email, COVID-19 and covid19, 1,000,000 and 1000000, O'Brien, Node.js, C++.

A text is read in units. A unit is a word, or several words joined by signs (hyphens, apostrophes, points, slashes), together with
the signs that are part of a name (``C#``, ``.NET``, ``$5``, ``50%``, ``@handle``), or an emoji, which contains no word. Units have
names: the term of the joined words (``email``), or a term with signs (``c#``). The names are indexed in addition to the words, so
that each spelling finds the others, and ``C#`` does not find every single c.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import chain, pairwise
from typing import NamedTuple
from unicodedata import category

import regex

from newswire.text.stopwords import STOP_WORDS
from newswire.text.tokenization import MAX_TERM_LENGTH, compatible, is_paired, is_plain, word_pattern, written


class Unit(NamedTuple):
    """One or more words that are written as one."""

    start: int
    end: int
    words: tuple[str, ...] = ()
    """In lower case, as `newswire.text.tokenization.written` returns them; empty for an emoji."""
    joined: str | None = None
    """The single term that replaces the words when a text is read with joined words; None: the words themselves."""
    names: tuple[str, ...] = ()
    """The terms by which the unit is found, in addition to its words."""
    query_terms: tuple[str, ...] = ()
    """The terms that a query for this unit accepts in place of its words."""
    strict: bool = False
    """Whether a sequence of the words alone does not match: ``c`` is not ``c++``."""
    apostrophe: bool = False
    """Whether an apostrophe joins the words."""


PLACEHOLDER = "\ue001"
"""Replaces a space within a unit (``1 000 000``, ``50 %``, ``R & D``), so that texts can be split at spaces."""

MAX_RUN = 16
"""Maximum of words that signs join to one run. Longer runs are not words, and finding the best split takes time that grows with
the square of their number.
"""
NEARBY = 4
"""Characters on either side of a unit that are searched for its signs; copying the whole text for each unit would be slow."""
MAX_PARTS = 3
MAX_JOINED_LENGTH = 40
MAX_CAPITALS = 4
MAX_KEPT_LENGTH = 60
"""Maximum length of the pieces of text whose units are cached, in characters."""
STRICT_BELOW = 3
"""Shorter names are searched for only with their signs."""

_SPACES = " \u00a0\u2009\u202f"
_SPACED_NUMBER = re.compile(rf"(?<![\w.,'])[0-9]{{1,3}}(?:[{_SPACES}][0-9]{{3}})+(?![\w])")
_SPACED_NUMBER_IN_QUERY = re.compile(
    rf"(?<![\w.,'])[0-9]{{1,3}}(?:(?:[{_SPACES}][0-9]{{3}}){{2,}}|(?:[{_SPACES[1:]}][0-9]{{3}})+| 000)(?![\w])"
)
_SPACE_BEFORE_SIGN = re.compile(rf"(?<=[0-9])[{_SPACES}](?=[%€£¥₹₽₺₩₴](?![^\W_]))")
_SPACED_INITIALS = re.compile(r"(?<![^\s(])[A-Za-z] [&/] [A-Za-z](?!\w)")
_HINT_OF_SPACES = re.compile(rf"[0-9][{_SPACES}][0-9%€£¥₹₽₺₩₴]")

_SIGNS = str.maketrans(
    dict.fromkeys("‐‑‒–−﹣－", "-")
    | dict.fromkeys("’‘‛`´′＇ʹʻʼʽʾʿꞋꞌ", "'")
    | {chr(0xFEE0 + code): chr(code) for code in map(ord, "#$%&+,./@_")}
    | {"٪": "%", "٬": ",", "٫": ".", "﹟": "#", "﹪": "%", "﹠": "&", "․": "."}
)
_JOINING = ("-", "'", ".")
_CONNECTORS = frozenset(
    ("-", "'", ".", ",", "/", "&", "_", PLACEHOLDER, f"{PLACEHOLDER}&{PLACEHOLDER}", f"{PLACEHOLDER}/{PLACEHOLDER}")
)
_SPLIT_PRIORITY = ("/", "&", "_", "-", "'", ".")
"""If different signs join the words of a run, it is split at the first of these that occurs."""
_EMOJI = regex.compile(
    r"[\U0001F1E6-\U0001F1FF]{2}"
    r"|[\p{Extended_Pictographic}\p{So}]\p{M}*[\U0001F3FB-\U0001F3FF]?"
    r"(?:\u200d[\p{Extended_Pictographic}\p{So}]\p{M}*[\U0001F3FB-\U0001F3FF]?)*[\U000E0020-\U000E007F]*",
    regex.V1,
)
_NOT_SEEN_IN_EMOJI = re.compile("[\ufe0e\ufe0f\U0001f3fb-\U0001f3ff]")
_NUMBER = re.compile(rf"([0-9]+(?:[.,'{PLACEHOLDER}][0-9]+)*)([^\W\d_]{{1,3}})?")
_SEPARATORS = re.compile(rf"[.,'{PLACEHOLDER}]")
_ORDINARY_WORDS = STOP_WORDS["en"] | {"us"}
"""If the lower-case form is one of these words, the upper-case form is an abbreviation: US, WHO, IT."""


def prepared(text: str) -> str:
    """Return a text of the same length in which units contain no spaces."""
    if _HINT_OF_SPACES.search(text):
        text = _SPACED_NUMBER.sub(_with_placeholders, text)
        text = _SPACE_BEFORE_SIGN.sub(PLACEHOLDER, text)
    if " & " in text or " / " in text:
        text = _SPACED_INITIALS.sub(_with_placeholders, text)
    return text


def prepared_query(text: str) -> str:
    """Return a query of the same length in which units contain no spaces.

    Separate numbers are joined only if they are hardly meant as two: ``1 000 000`` and ``10 000``, not ``12 345``.
    """
    text = _SPACED_NUMBER_IN_QUERY.sub(_with_placeholders, text)
    text = _SPACE_BEFORE_SIGN.sub(PLACEHOLDER, text)
    return _SPACED_INITIALS.sub(_with_placeholders, text)


def _with_placeholders(match: "re.Match[str]") -> str:
    return re.sub(rf"[{_SPACES}]", PLACEHOLDER, match[0])


def is_abbreviation(word: str) -> bool:
    """Return whether a word of ASCII letters may be an abbreviation in capitals."""
    return len(word) <= MAX_CAPITALS and word.isupper()


def units(chunk: str) -> Sequence[Unit]:
    """Return the units of a piece of text without spaces, in order."""
    return _kept_units(chunk) if len(chunk) <= MAX_KEPT_LENGTH else _units(chunk)


@lru_cache(maxsize=20_000)
def _kept_units(chunk: str) -> tuple[Unit, ...]:
    return tuple(_units(chunk))


def _units(chunk: str) -> list[Unit]:
    if chunk.isascii() and chunk.isalpha() and not is_abbreviation(chunk):
        return [Unit(0, len(chunk), tuple(written(chunk)))]
    if not chunk.isascii() and chunk.isalpha() and is_plain(chunk) and len(words := written(chunk)) == 1:
        return [Unit(0, len(chunk), tuple(words))]
    signs = chunk if chunk.isascii() else chunk.translate(_SIGNS)
    found: list[Unit] = []
    run: list[tuple[int, int]] = []
    end = 0
    for match in word_pattern(chunk).finditer(chunk):
        span, gap = match.span(1), signs[end : match.start()]
        if run and not (run[-1][1] == end and gap in _CONNECTORS and len(run) < MAX_RUN):
            found += _units_of(chunk, signs, run)
            run = []
        if not gap.isascii():
            found += _emoji(gap, end)
        if is_paired(match[1]):
            found += [*(_units_of(chunk, signs, run) if run else ()), *_paired(signs, match[1], *span)]
            run = []
        else:
            run.append(span)
        end = match.end()
    found += _units_of(chunk, signs, run) if run else []
    return found if signs[end:].isascii() else found + _emoji(signs[end:], end)


def _emoji(gap: str, start: int) -> list[Unit]:
    found = []
    for match in _EMOJI.finditer(gap):
        name = _NOT_SEEN_IN_EMOJI.sub("", match[0])[:MAX_TERM_LENGTH]
        if name:
            found.append(Unit(start + match.start(), start + match.end(), (), name, (name,), (name,), strict=True))
    return found


def _paired(signs: str, word: str, start: int, end: int) -> list[Unit]:
    """Return the unit of a run of letters in a script without spaces; a number at its end may have a sign."""
    words = tuple(written(word))
    number = re.search(r"[0-9]+$", word)
    if number is None or len(words) < 2 or not words[-1].isdigit():
        return [Unit(start, end, words)]
    at = start + number.start()
    return [Unit(start, at, words[:-1]), _with_signs(signs, Unit(at, end, words[-1:]))]


def _units_of(chunk: str, signs: str, run: Sequence[tuple[int, int]]) -> list[Unit]:
    """Return the units of a run of words that are joined by single signs."""
    gaps = [signs[first[1] : second[0]].strip(PLACEHOLDER) for first, second in pairwise(run)]
    start, end = run[0][0], run[-1][1]
    if (number := _number(chunk, signs, run)) is not None:
        return [_with_signs(signs, number)]
    kinds = set(gaps)
    if len(kinds) > 1 or kinds == {","}:
        sign = next((sign for sign in _SPLIT_PRIORITY if sign in kinds), ",")
        cut = next(at for at, gap in enumerate(gaps, start=1) if gap == sign)
        return [*_units_of(chunk, signs, run[:cut]), *_units_of(chunk, signs, run[cut:])]
    read = [written(chunk[first:last]) for first, last in run]
    parts, words = ["".join(part) for part in read], tuple(chain.from_iterable(read))
    sign = kinds.pop() if kinds else ""
    if sign in _JOINING or (not sign and len(words) > 1):
        unit = _joined(Unit(start, end, words, apostrophe=sign == "'"), parts, sign)
    elif sign == "/" and signs[end : end + 1] in ("+", "#"):
        return [*_units_of(chunk, signs, run[:-1]), *_units_of(chunk, signs, run[-1:])]
    elif sign in ("&", "/"):
        unit = _with_sign_between(Unit(start, end, words), parts, sign)
    else:
        unit = _abbreviation(Unit(start, end, words), chunk[start:end])
    return [_with_signs(signs, unit, sign if sign == "_" else "")]


def _joined(unit: Unit, parts: Sequence[str], sign: str) -> Unit:
    joined = "".join(unit.words)
    if sign == "." and all(len(part) == 1 and part.isalpha() for part in parts):
        dotted = "".join(f"{part}." for part in parts)
        query_terms = (dotted,) if joined in _ORDINARY_WORDS else (dotted, joined)
        return unit._replace(joined=joined, names=(joined, dotted), query_terms=query_terms)
    between_digits = any(one[-1:].isdigit() and other[:1].isdigit() for one, other in pairwise(parts))
    if between_digits or len(parts) > MAX_PARTS or len(joined) > MAX_JOINED_LENGTH:
        return unit
    pairs = [one + other for one, other in pairwise(parts)] if len(parts) > 2 else []
    return unit._replace(joined=joined, names=(joined, *pairs), query_terms=(joined,))


def _with_sign_between(unit: Unit, parts: Sequence[str], sign: str) -> Unit:
    """Return the unit of words joined by a slash or an ampersand: TCP/IP, 9/11, R&D."""
    name = sign.join(parts)
    if len(parts) > MAX_PARTS or len(name) > MAX_JOINED_LENGTH:
        return unit
    strict = any(len(part) < 2 for part in parts) or all(part.isdigit() for part in parts)
    return unit._replace(joined=name if strict else None, names=(name,), query_terms=(name,), strict=strict)


def _abbreviation(unit: Unit, raw: str) -> Unit:
    if raw.isascii() and raw.isupper() and 2 <= len(raw) <= MAX_CAPITALS and raw.lower() in _ORDINARY_WORDS:
        return unit._replace(names=("".join(f"{letter}." for letter in raw.lower()),))
    return unit


def _number(chunk: str, signs: str, run: Sequence[tuple[int, int]]) -> Unit | None:
    """Return the unit of a number with separators, optionally followed by a short unit of measurement: 1,000,000, 3.5, 2.5m."""
    start, end = run[0][0], run[-1][1]
    raw = signs[start:end]
    if not raw[0].isdecimal():
        return None
    found = _NUMBER.fullmatch(raw if raw.isascii() else compatible(raw))
    if found is None:
        return None
    words = tuple(word for first, last in run for word in written(chunk[first:last]))
    unit, value = Unit(start, end, words), _value(found[1])
    if value is None or (value == found[1] and "." not in value):
        return None if found[2] and len(words) > 1 and value is not None else unit
    name = value + (found[2] or "")
    names = (name,) if name == value else (name, value)
    return unit._replace(joined=name, names=names, query_terms=(name,), strict=True)


def _value(number: str) -> str | None:
    """Return a number without group separators, and with a decimal point; None if it is a list of numbers."""
    groups, signs = _SEPARATORS.split(number), _SEPARATORS.findall(number)
    if _grouped(groups, signs):
        return "".join(groups)
    if len(signs) > 1 and signs[-1] in ".," and signs[-1] != signs[-2] and _grouped(groups[:-1], signs[:-1]):
        return "".join(groups[:-1]) + "." + groups[-1]
    if len(signs) == 1 and signs[0] in ".,":
        return ".".join(groups)
    return number if set(signs) <= {"."} else None


def _grouped(groups: Sequence[str], signs: Sequence[str]) -> bool:
    """Return whether the digits are grouped in thousands, or in lakhs and crores."""
    return (
        len(set(signs)) == 1
        and 1 <= len(groups[0]) <= 3
        and not groups[0].startswith("0")
        and len(groups[-1]) == 3
        and all(len(group) == 3 or (len(group) == 2 and signs[0] == ",") for group in groups[1:])
    )


def _with_signs(signs: str, unit: Unit, within: str = "") -> Unit:
    """Return a unit together with the signs before and after it that are part of its name."""
    base = within.join(unit.words) if unit.joined is None or within else unit.joined
    before, after = signs[max(unit.start - NEARBY, 0) : unit.start], signs[unit.end : unit.end + NEARBY]
    number = base[:1].isdigit() and unit.words[0].isdigit()
    if number:
        return _with_number_signs(unit, base, before, after)
    sign = before[-1:]
    if sign and sign in "#@$" and not before[-2:-1].isalnum() and sign != before[-2:-1]:
        return _named(unit, sign + base, base, strict=sign == "@")
    if sign == "." and len(unit.words) == 1 and before[-2:-1] != "." and not before[-2:-1].isalnum():
        return _named(unit, sign + base, base, strict=True) if 2 <= len(base) <= 10 else unit
    return _with_sign_after(unit, base, after)


def _with_sign_after(unit: Unit, base: str, after: str) -> Unit:
    if after.startswith("++") and not after[2:3].isalpha():
        return _named(unit, base + "++", base, strict=False)
    if after[:1] in ("+", "#") and not after[1:2].isalnum() and after[1:2] != after[:1]:
        return _named(unit, base + after[0], base, strict=False)
    return unit


def _with_number_signs(unit: Unit, base: str, before: str, after: str) -> Unit:
    before, after = before.removesuffix(PLACEHOLDER), after.removeprefix(PLACEHOLDER)
    currency = next((sign for sign in (before[-1:], after[:1]) if sign and category(sign) == "Sc"), "")
    if currency:
        return _named(unit, currency + base, base, strict=True)
    if before[-1:] == "#" and not before[-2:-1].isalnum():
        return _named(unit, "#" + base, base, strict=True)
    if after[:1] == "%":
        return _named(unit, base + "%", base, strict=True)
    return _with_sign_after(unit, base, after)


def _named(unit: Unit, name: str, base: str, *, strict: bool) -> Unit:
    """Return a unit that has a name with signs; if the rest is too short to be searched for alone, only the name matches."""
    if len(name) > MAX_JOINED_LENGTH:
        return unit
    strict = strict or len(base) < STRICT_BELOW or base.isdigit()
    query_terms = (name,) if strict else (name, *unit.query_terms)
    joined = name if strict else unit.joined
    return unit._replace(joined=joined, names=(*unit.names, name), query_terms=query_terms, strict=strict)
