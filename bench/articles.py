"""Articles for measurements: generated here, or read from a file of real ones."""

import gzip
import html
import itertools
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Article = dict[str, Any]

CATEGORIES = ("Town", "Harbour", "Weather", "Markets", "Culture", "Sport", "Science", "Courts")
TOPICS = tuple(
    f"{kind} {place}" for kind in ("ferries", "schools", "fishing", "rents", "bees") for place in "ABCDEFGHIJKL"
)
AUTHORS = ("Ida Roth", "Jonas Lind", "Mara Quist", "Piet Vos", "Sanne Holm", "Teo Marsh")
_SYLLABLES = [c + v for c in "b d f g h k l m n p r s t v w z br st tr pl".split() for v in "a e i o u ai ou".split()]
VOCABULARY = 8000


def made_up(count: int, seed: int = 1) -> list[Article]:
    """Generate articles of about 300 words with the word frequencies of a language (Zipf)."""
    dice = random.Random(seed)
    words = ["".join(dice.choices(_SYLLABLES, k=dice.randint(1, 4))) for _ in range(VOCABULARY)]
    common = list(itertools.accumulate(1 / (rank + 2) for rank in range(VOCABULARY)))

    def text(length: int) -> str:
        return " ".join(dice.choices(words, cum_weights=common, k=length))

    return [
        {
            "title": text(7).capitalize(),
            "body": "".join(f"<p>{text(dice.randint(30, 70)).capitalize()}.</p>" for _ in range(6)),
            "authors": [dice.choice(AUTHORS)],
            "category": dice.choice(CATEGORIES),
            "topics": dice.sample(TOPICS, 3),
            "language": "en",
        }
        for _ in range(count)
    ]


def from_corpus(file: Path, count: int) -> list[Article]:
    """Read articles from gzipped JSON lines with ``title, author, topics, body`` (paragraphs separated by a blank line)."""
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        stories = [json.loads(line) for line in itertools.islice(lines, count)]
    return [
        {
            "title": " ".join(story["title"].split())[:300] or "Untitled",
            "body": "".join(f"<p>{html.escape(part)}</p>" for part in story["body"].split("\n\n")),
            "authors": [story["author"]] if story["author"] else [],
            "category": story["topics"][0] if story["topics"] else "General",
            "topics": story["topics"][:50],
            "language": "en",
        }
        for story in stories
    ]


def repeated(articles: list[Article], count: int, mark: str) -> Iterator[Article]:
    """Yield a number of distinct articles: each has a unique word in its title."""
    for number, article in zip(range(count), itertools.cycle(articles), strict=False):
        yield article | {"title": f"{article['title'][:250]} {mark}{number}"}
