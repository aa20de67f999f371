"""Words as readers type them: neither stemmed nor with accents."""

from newswire import analysis


def words(text: str) -> list[str]:
    """Return the words of a text in their order, as `newswire.analysis.article_words` holds them."""
    return list(map(analysis.bare, analysis.words(text)))
