"""Related articles: the words that characterise an article.

Both indexes weight a term by its frequency in the article and its rarity in the index (tf·idf), take the most significant
terms, and rank the articles that share enough of them.
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
"""How many characters of a text are analysed: that is enough to characterise it, and 1 MiB would take a second."""
MIN_SHARED_TERMS_RATIO = 0.3
"""The share of these terms that another article must contain."""
MIN_ARTICLES_PER_TERM = 2
"""A term that no other article contains cannot find one."""
MAX_ARTICLES_PER_TERM = 20_000
"""A term that more articles contain is left out: it says little about any of them, and the search reads all of them."""


def terms_of(article: Mapping[str, Any]) -> Counter[str]:
    """Return the frequency of each term of an article, without stop words; terms of the title count once more."""
    read = Article.model_validate({**article, "text": article.get("text", "")[:RELATED_CHARACTERS]})
    counted = Counter([*article_terms(read), *title_terms(read)])
    language = language_of(read.language)
    for term in (SEPARATOR, *(stem(word, language) for word in STOP_WORDS.get(language, ()))):
        counted.pop(term, None)
    return counted


def language_pattern(article: Mapping[str, Any]) -> str:
    """Return the pattern of an article's language, in any regional variant."""
    primary = fold(str(article.get("language") or "und")).partition("-")[0]
    return f"{primary}(-.*)?"
