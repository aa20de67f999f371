"""What both indexes share about the order by relevance."""

from newswire.query import All, Any_, Phrase, Query

TITLE_WEIGHT = 0.35
"""How much a match in the title adds to the score of the one field that holds all text. Heavier titles rank worse."""


def sought(query: Query) -> list[Phrase]:
    """Return the words and phrases that speak for a result, in order; negated ones do not."""
    match query:
        case Phrase():
            return [query]
        case All(parts) | Any_(parts):
            return [phrase for part in parts for phrase in sought(part)]
        case _:
            return []
