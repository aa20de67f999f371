"""The languages that a draft can choose from, in the language of the page."""

from functools import cache

from babel import Locale

_OFFERED = (
    "ar bg bn ca cs da de el en es et eu fa fi fr ga gl he hi hr hu id is it ja ko lt lv ms nb nl nn pl pt ro ru sk sl sq sr"
    " sv sw ta th tr uk ur vi zh"
)


@cache
def language_choices(shown_in: str) -> list[tuple[str, str]]:
    """Return the codes of languages with their names, sorted by name."""
    locale = Locale.parse(shown_in)
    named = [(code, (locale.languages.get(code) or code).capitalize()) for code in _OFFERED.split()]
    return sorted(named, key=lambda each: each[1])
