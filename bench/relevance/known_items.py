"""``python -m bench.relevance.known_items --corpus FILE FOLDER``: a judged collection made of any corpus.

Somebody looks for one article that they know, by what they remember of it. Of articles drawn by chance, each is asked for in
one way: words of its title in their order, the same shuffled, misspelt by one edit or inflected, and words of one of its
sentences, shuffled. The article itself is what is relevant; where the corpus holds another that is as good, all systems lose alike.
"""

import gzip
import json
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from bench.relevance.collection import save, text
from newswire.text.analysis import is_stop_word, words

LETTERS = "abcdefghijklmnopqrstuvwxyz"
Made = list[str] | None


def title(sent: dict[str, Any], dice: random.Random) -> Made:
    """Return up to five characteristic words of the title, in order."""
    telling = _telling(text(sent, "title"))
    if len(telling) < 3:
        return None
    first = dice.randrange(max(1, len(telling) - 4))
    return telling[first : first + 5]


def disordered(sent: dict[str, Any], dice: random.Random) -> Made:
    """Return words of the title, shuffled."""
    found = title(sent, dice)
    return found and dice.sample(found, len(found))


def misspelt(sent: dict[str, Any], dice: random.Random) -> Made:
    """Return words of the title, one of them with a letter omitted, doubled, changed or swapped with the next."""
    return _changed(title(sent, dice), lambda word: _edited(word, dice), dice)


def inflected(sent: dict[str, Any], dice: random.Random) -> Made:
    """Return words of the title, one of them in another form."""
    return _changed(title(sent, dice), _inflected, dice)


def sentence(sent: dict[str, Any], dice: random.Random) -> Made:
    """Return six characteristic words of a sentence of the body, shuffled."""
    sentences = [_telling(part) for part in re.split(r"(?<=[.!?])\s+", text(sent, "body"))]
    long_enough = [found for found in sentences if len(set(found)) >= 8]
    return dice.sample(sorted(set(dice.choice(long_enough))), 6) if long_enough else None


KINDS: dict[str, Callable[[dict[str, Any], random.Random], Made]] = {
    "title": title,
    "disordered": disordered,
    "misspelt": misspelt,
    "inflected": inflected,
    "sentence": sentence,
}


def queries(documents: list[dict[str, Any]], each: int, seed: int) -> Iterator[tuple[str, str, str]]:
    """Yield (query id, text, id of the article) for a number of articles of each kind; the id begins with the kind."""
    for kind, make in KINDS.items():
        dice = random.Random(f"{kind} {seed}")
        drawn = dice.sample(documents, len(documents))
        made = ((found, sent) for sent in drawn if (found := make(sent, dice)))
        for number, (found, sent) in zip(range(1, each + 1), made, strict=False):
            yield f"{kind}-{number}", " ".join(found), str(sent["id"])


def _telling(said: str) -> list[str]:
    return [word for word in words(said) if len(word) > 2 and word.isalpha() and not is_stop_word(word, "en")]


def _changed(found: Made, change: Callable[[str], str], dice: random.Random) -> Made:
    long = [at for at, word in enumerate(found or []) if len(word) >= 5]
    if not found or not long:
        return None
    at = dice.choice(long)
    return [*found[:at], change(found[at]), *found[at + 1 :]]


def _edited(word: str, dice: random.Random) -> str:
    at = dice.randrange(1, len(word) - 1)
    before, letter, after = word[:at], word[at], word[at + 1 :]
    swapped = after[0] + letter + after[1:]
    return before + dice.choice([after, letter * 2 + after, dice.choice(LETTERS) + after, swapped])


def _inflected(word: str) -> str:
    for ending, other in (("ies", "y"), ("ing", "ed"), ("ed", "ing"), ("s", ""), ("y", "ies"), ("e", "es")):
        if word.endswith(ending):
            return word.removesuffix(ending) + other
    return word + "s"


def main(
    folder: Annotated[Path, typer.Argument(help="Where the collection goes.")],
    corpus: Annotated[Path, typer.Option(exists=True, help="JSON lines of id, title, body …, perhaps gzipped.")],
    each: Annotated[int, typer.Option(min=1, help="Queries of each kind.")] = 100,
    most: Annotated[int, typer.Option(min=1, help="Documents to take of the corpus.")] = 1_000_000,
    seed: int = 1,
) -> None:
    """Create a judged collection from a corpus."""
    with gzip.open(corpus, "rt") if corpus.suffix == ".gz" else corpus.open() as lines:
        documents = [json.loads(line) for _, line in zip(range(most), lines, strict=False)]
    kept = [{name: sent.get(name) for name in ("id", "title", "body", "published_at")} for sent in documents]
    save(folder, kept, queries(documents, each, seed))


if __name__ == "__main__":
    typer.run(main)
