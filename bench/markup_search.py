"""Searches for the HTML that takes longest to sanitise among all that is within the limits on its structure."""

import random
import time
from dataclasses import dataclass

from newswire_ingest.content.markup_limits import MarkupLimitError
from newswire_ingest.content.sanitised_body import sanitised_body

SIZE = 256 * 1024
GENES = 6
"""Maximum number of pieces of a candidate."""
PIECES = (
    *(
        "<div>",
        "</div>",
        "<p>",
        "</p>",
        "<b>",
        "</b>",
        "<i>",
        "</i>",
        "<a>",
        "</a>",
        "<b a={n}>",
        "<i a={n}>",
        "<font a={n}>",
    ),
    *(
        "<ul><li>",
        "<li>",
        "</ul>",
        "<ol>",
        "<dl><dd>",
        "<dd>",
        "<table>",
        "<tr>",
        "<td>",
        "</td>",
        "</table>",
        "<caption>",
    ),
    *(
        "<button>",
        "</button>",
        "<svg>",
        "</svg>",
        "<math>",
        "<mi>",
        "<foreignObject>",
        "<template>",
        "</template>",
        "<nobr>",
    ),
    *(
        "<select>",
        "<option>",
        "<object>",
        "<h2>",
        "</h2>",
        "<br>",
        "<hr>",
        "<img src=x>",
        "<form>",
        "<body a{n}>",
        "<html b{n}>",
    ),
    *(
        "<!-- -->",
        "<!x>",
        "<![CDATA[x]]>",
        "<script>",
        "</script>",
        "<style>",
        "</style>",
        "<title>",
        "</title>",
        "<plaintext>",
    ),
    *(
        "x",
        " ",
        "\n",
        "&",
        "&amp;",
        "&#60;",
        "&eacute;",
        "&nosuch;",
        "word word word ",
        "<",
        "\x01",
        "港",
        "é ",
        "</x>",
        "</br>",
    ),
    *(
        '<a href="https://a.example/?a&b&c">',
        '<p title="&amp;&lt;">',
        "<p a b c d e f g h i j>",
        "<x y='",
        "<pre>\n",
        "</pre>",
    ),
)


@dataclass(frozen=True, slots=True)
class Candidate:
    """Pieces with a number of repetitions each; the whole sequence is repeated."""

    genes: tuple[tuple[str, int], ...]

    def html(self, size: int = SIZE) -> str:
        """Return HTML of the given size; ``{n}`` is replaced by a number that no other tag has."""
        parts: list[str] = []
        length = number = 0
        while length < size:
            for piece, count in self.genes:
                for _ in range(count):
                    number += 1
                    parts.append(piece.replace("{n}", str(number)))
                    length += len(parts[-1])
                    if length >= size:
                        return "".join(parts)
        return "".join(parts)


@dataclass(frozen=True, slots=True)
class Found:
    """The cost of a candidate."""

    milliseconds: float
    accepted: bool
    genes: tuple[tuple[str, int], ...]
    size: int

    @property
    def per_kib(self) -> float:
        """Milliseconds of processor time per KiB of HTML."""
        return self.milliseconds / (self.size / 1024)


def search(seconds: float, seed: int = 1) -> list[Found]:
    """Try candidates for some time, mostly variations of the most expensive ones; return the top ten, including rejected ones."""
    chance = random.Random(seed)
    worst: list[Found] = []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        genes = _changed(chance.choice(worst).genes, chance) if worst and chance.random() < 0.7 else _made_up(chance)
        size = chance.choice((16, 64, 256, 900)) * 1024
        worst.append(measured(Candidate(genes), size))
        worst = sorted(worst, key=lambda found: -found.per_kib)[:10]
    return worst


def measured(candidate: Candidate, size: int = SIZE) -> Found:
    """Return the cost of checking a candidate, and of sanitising it if it is accepted."""
    html = candidate.html(size)
    accepted = True
    began = time.process_time()
    try:
        sanitised_body(html, None)
    except MarkupLimitError:
        accepted = False
    return Found((time.process_time() - began) * 1000, accepted, candidate.genes, len(html))


def _made_up(chance: random.Random) -> tuple[tuple[str, int], ...]:
    return tuple(
        (chance.choice(PIECES), chance.choice((1, 1, 1, 2, 10, 100, 200, 1000, 10_000)))
        for _ in range(chance.randint(1, GENES))
    )


def _changed(genes: tuple[tuple[str, int], ...], chance: random.Random) -> tuple[tuple[str, int], ...]:
    at = chance.randrange(len(genes))
    new = _made_up(chance)[0]
    match chance.randrange(4):
        case 0:
            return (*genes[:at], new, *genes[at + 1 :])
        case 1 if len(genes) < GENES:
            return (*genes[:at], new, *genes[at:])
        case 2 if len(genes) > 1:
            return (*genes[:at], *genes[at + 1 :])
        case _:
            return (*genes[:at], (genes[at][0], max(1, genes[at][1] * chance.choice((1, 2, 5)) // 2)), *genes[at + 1 :])


if __name__ == "__main__":
    for each in search(60):
        print(f"{each.per_kib:8.2f} ms/KiB {each.milliseconds:8.1f} ms {each.size:8} {each.accepted} {each.genes}")
