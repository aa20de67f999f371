"""Which words tell what an article is about, and so which others are about the same.

Both indexes weigh a word by how often the article holds it and how rare it is among all (tf·idf), take the most telling ones,
and rank the articles that share enough of them.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from newswire.article import Article
from newswire.text.analysis import SEPARATOR, article_terms, language_of, stem, title_terms
from newswire.text.folding import fold
from newswire.text.stopwords import STOP_WORDS

MAX_TERMS = 25
RELATED_CHARACTERS = 50_000
"""Of a longer text no more is read: it tells what it is about by then, and 1 MiB would take a second."""
MIN_SHARED_TERMS_RATIO = 0.3
"""The part of these terms that another article must hold."""
MIN_ARTICLES_PER_TERM = 2
"""A term that no other article holds leads nowhere."""


def terms_of(article: Mapping[str, Any]) -> Counter[str]:
    """Return how often an article holds each term that may lead to others; those of the title count once more."""
    read = Article.model_validate({**article, "text": article.get("text", "")[:RELATED_CHARACTERS]})
    counted = Counter([*article_terms(read), *title_terms(read)])
    language = language_of(read.language)
    for term in (SEPARATOR, *(stem(word, language) for word in STOP_WORDS.get(language, ()))):
        counted.pop(term, None)
    return counted


def language_pattern(article: Mapping[str, Any]) -> str:
    """Return the pattern of the languages that readers of an article understand: its own, whatever the country."""
    primary = fold(str(article.get("language") or "und")).partition("-")[0]
    return f"{primary}(-.*)?"
