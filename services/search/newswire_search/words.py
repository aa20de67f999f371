"""Words as they stand in a text, folded but not stemmed: what readers are offered while they type and when they mistype."""

import regex

from newswire.article import Article
from newswire.folding import fold

LONGEST_WORD = 40
"""Longer ones are cut, wherever they come from."""
SHORTEST_KNOWN = 4
"""Shorter ones are never offered in place of another: too many differ by one letter."""

_WORD = regex.compile(r"[\p{L}\p{N}\p{M}]+")
_KNOWN = regex.compile(rf"[\p{{L}}\p{{M}}]{{{SHORTEST_KNOWN},}}")


def words(text: str) -> list[str]:
    """Return the words of a text in their order."""
    return [word[:LONGEST_WORD] for word in _WORD.findall(fold(text))]


def distinct_words(*texts: str) -> list[str]:
    """Return each word of some texts once, in the order in which they first come."""
    return list(dict.fromkeys(word for text in texts for word in words(text)))


def known_words(article: Article) -> list[str]:
    """Return the words of an article that may be offered in place of a mistyped one."""
    texts = [article.title, article.summary or "", article.text, *article.author_names, *article.topics]
    return [word for word in distinct_words(*texts) if _KNOWN.fullmatch(word)]
