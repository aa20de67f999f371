"""Other forms of a written word in its language, which a reader may type, or an article may contain, in its place.

Each form is added to the word and never replaces it: if a rule is wrong about a word, the word is still found.
"""

import re

from newswire.text.compounds import Unit

_SPELLED_OUT = str.maketrans({"å": "aa", "ä": "ae", "ö": "oe", "ü": "ue", "ø": "oe"})
_NOT_SPELLED_OUT = frozenset(("fi", "hu", "sv", "tr"))
"""Languages in which these letters are common and are not written as two letters."""

# Arabic prefixes "and", "so", "with", "like", "for" and the article to the following word.
_CONJUNCTION = re.compile("[وف](?=.{3})")
_ARTICLE = re.compile("(?:بال|كال|فال|وال|لل|ال)(?=.{3})")
_PREPOSITION = re.compile("[بكل](?=.{4})")

_ELIDED = {
    "ca": frozenset("d l m n s t".split()),
    "fr": frozenset("c d j jusqu l lorsqu m n puisqu qu quoiqu s t".split()),
    "it": frozenset("all c d dall dell gl l m nell quell s sull t un".split()),
    "pt": frozenset("d".split()),
}
"""Words before an apostrophe that are not part of the word after it."""
_ENDINGS_AFTER_APOSTROPHE = frozenset(("tr",))
"""Languages that separate a name from its ending by an apostrophe."""


def other_forms(word: str, language: str) -> list[str]:
    """Return the other forms of a written word in a language of `newswire.text.analysis.language_of`; usually none."""
    if word.isascii():
        return []
    if language == "ar":
        return _without_clitics(word)
    if language in _NOT_SPELLED_OUT:
        return []
    spelled_out = word.translate(_SPELLED_OUT)
    return [spelled_out] if spelled_out != word else []


def _without_clitics(word: str) -> list[str]:
    found: list[str] = []
    for base in (word, word[1:] if _CONJUNCTION.match(word) else ""):
        if not base:
            continue
        article, preposition = _ARTICLE.match(base), _PREPOSITION.match(base)
        found.append(base)
        if article:
            found.append(base[article.end() :])
        elif preposition:
            found.append(base[1:])
    return [form for form in dict.fromkeys(found) if form != word]


def without_elision(unit: Unit, language: str) -> Unit:
    """Return a unit without elision: in French, ``l'été`` is ``été`` with an article, not one word."""
    if not unit.apostrophe or len(unit.words) < 2:
        return unit
    elided = unit.words[0] in _ELIDED.get(language, ())
    if not elided and language not in _ENDINGS_AFTER_APOSTROPHE:
        return unit
    return unit._replace(joined=None, names=(), query_terms=())


def content_words(unit: Unit, language: str) -> tuple[str, ...]:
    """Return the words of a unit without those that its language only elides or appends."""
    if unit.apostrophe and len(unit.words) > 1:
        if unit.words[0] in _ELIDED.get(language, ()):
            return unit.words[1:]
        if language in _ENDINGS_AFTER_APOSTROPHE:
            return unit.words[:1]
    return unit.words
