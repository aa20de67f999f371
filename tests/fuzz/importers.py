"""``python -m tests.fuzz.importers``: imports damaged files for some minutes; no crash, no hang, no silent loss.

Each round creates a file of several articles, or takes a sample of a format with one, and damages one place in it. These must
hold:

- reading ends within `LIMIT` seconds with articles, skipped items and failed items; every article is valid;
- from a file that is still well-formed, every article is read or reported;
- from any other file, every article next to the damaged one is read, or an item reports that something could not be read.
"""

import argparse
import json
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from lxml import etree
from rich.console import Console

from newswire.article import ArticleDraft
from newswire_ingest.importing.format_names import FormatName
from tests.cli.importing.readers import SAMPLES, failed_items, read, stories

console = Console(highlight=False, soft_wrap=True)
LIMIT = 20
"""Seconds after which reading a file counts as hanging."""
MANY = 6
SPLINTERS = (
    *(
        b"<",
        b">",
        b"&",
        b"]]>",
        b"<![CDATA[",
        b"<!--",
        b"-->",
        b"<?x ?>",
        b"\x00",
        b"\x0b",
        b"\xff",
        b"\xe9",
        b"\xed\xa0\xbd",
    ),
    *(
        b"&#0;",
        b"&#xD800;",
        b"&nbsp;",
        b"&amp;amp;",
        b"<item>",
        b"</item>",
        b"<entry>",
        b"</entry>",
        b"</channel>",
        b"</rss>",
    ),
    *(
        b'"',
        b"'",
        b"{",
        b"}",
        b"[",
        b"\\u",
        b"\\ud800",
        b"\r",
        b"\n\n",
        b"\xef\xbb\xbf",
        b"\xfe\xff",
        b"<!DOCTYPE x [",
        b"<br>",
    ),
    *(b"<p>" * 300, b"&lt;" * 50, "\u202e\u200b\u0085\u2028".encode(), b"9" * 400, b" " * 5000),
)


@dataclass(frozen=True)
class Made:
    """A file before it is damaged."""

    form: FormatName
    name: str
    content: bytes
    articles: tuple[tuple[int, int], ...] = ()
    """The start and end of each of several articles."""
    item: str = ""
    """The local name of the element of an article, for XML formats."""


class ReadTimeoutError(Exception):
    """A file is not read completely in time."""


def xml_file(form: FormatName, head: bytes, item: Callable[[int], bytes], foot: bytes, name: str) -> Made:
    """Create a file of several articles."""
    content, places = head, []
    for number in range(MANY):
        places.append((len(content), len(content) + len(item(number))))
        content += item(number)
    return Made(form, "file.xml", content + foot, tuple(places), name)


def wordpress() -> Made:
    """Return a WordPress export."""
    head = (
        b'<?xml version="1.0" encoding="UTF-8"?>\n<rss version="2.0" xmlns:content="http://purl.org/rss/1.0/modules/content/" '
        b'xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:wp="http://wordpress.org/export/1.2/"><channel><title>Quay</title>'
        b"<wp:wxr_version>1.2</wp:wxr_version>\n"
    )

    def item(number: int) -> bytes:
        return (
            f"<item><title>Mark{number}x</title><guid>https://quay.example/?p={number}</guid><dc:creator>ida</dc:creator>"
            f'<content:encoded><![CDATA[<p>The [gallery ids="1"] dredger &amp; its crew, part {number}.</p>]]></content:encoded>'
            f"<wp:post_id>{number}</wp:post_id><wp:post_date_gmt>2026-02-0{number + 1} 09:15:00</wp:post_date_gmt>"
            f"<wp:status>publish</wp:status><wp:post_type>post</wp:post_type>"
            f'<category domain="post_tag" nicename="quay"><![CDATA[Quay]]></category></item>\n'
        ).encode()

    return xml_file(FormatName.WORDPRESS, head, item, b"</channel></rss>\n", "item")


def rss() -> Made:
    """Return an RSS feed."""

    def item(number: int) -> bytes:
        return (
            f"<item><title>Mark{number}x</title><link>https://quay.example/{number}</link><guid>g{number}</guid>"
            f"<description>&lt;p&gt;The tide tables, part {number}, caf\u00e9.&lt;/p&gt;</description>"
            f"<pubDate>Mon, 0{number + 1} Feb 2026 08:00:00 GMT</pubDate><category>Tides</category></item>\n"
        ).encode()

    head = b'<?xml version="1.0"?>\n<rss version="2.0"><channel><title>Quay</title><link>https://quay.example/</link>\n'
    return xml_file(FormatName.FEED, head, item, b"</channel></rss>\n", "item")


def atom() -> Made:
    """Return an Atom feed."""

    def entry(number: int) -> bytes:
        return (
            f"<entry><id>tag:quay.example,2026:{number}</id><title type='html'>Mark{number}x &amp;amp; more</title>"
            f"<updated>2026-02-0{number + 1}T08:00:00Z</updated><link href='/{number}'/><author><name>Ida</name></author>"
            f"<content type='xhtml'><div xmlns='http://www.w3.org/1999/xhtml'><p>The lock, part {number}.</p></div></content>"
            f"</entry>\n"
        ).encode()

    head = b"<feed xmlns='http://www.w3.org/2005/Atom' xml:base='https://quay.example/'><title>Quay</title><id>urn:q</id>\n"
    return xml_file(FormatName.FEED, head, entry, b"</feed>\n", "entry")


def ndjson() -> Made:
    """Return one article per line."""

    def line(number: int) -> bytes:
        article = {"external_id": f"q-{number}", "title": f"Mark{number}x", "body": f"<p>The weir, part {number}.</p>"}
        more = {"published_at": "2026-02-01T00:00:00Z", "topics": ["Weirs"], "authors": [{"name": "Ida"}]}
        return json.dumps(article | more).encode() + b"\n"

    return xml_file(FormatName.NDJSON, b"", line, b"", "")


def single() -> list[Made]:
    """Return the samples of formats with one article per file."""
    forms = {
        "nitf.xml": FormatName.NITF,
        "newsml.xml": FormatName.NEWSML,
        "ninjs2.json": FormatName.NINJS,
        "ninjs3.json": FormatName.NINJS,
        "page.html": FormatName.HTML,
        "microdata.html": FormatName.HTML,
        "garden/roses.md": FormatName.MARKDOWN,
    }
    return [Made(form, f"file{Path(name).suffix}", (SAMPLES / name).read_bytes()) for name, form in forms.items()]


def damage(content: bytes, start: int, end: int, drawn: random.Random) -> bytes:
    """Damage one place between start and end."""
    at = drawn.randrange(start, end)
    until = min(end, at + drawn.choice((1, 1, 4, 30, 200)))
    piece = content[at:until]
    match drawn.randrange(6):
        case 0:
            piece = b""
        case 1:
            piece = piece * drawn.choice((2, 3, 40))
        case 2:
            piece = bytes(byte ^ (1 << drawn.randrange(8)) for byte in piece[:3]) + piece[3:]
        case 3:
            piece = piece[::-1]
        case 4:
            other = drawn.randrange(start, end)
            piece = content[other : min(end, other + len(piece))]
        case _:
            piece = drawn.choice(SPLINTERS) * drawn.choice((1, 1, 2, 20)) + piece
    return content[:at] + piece + content[until:]


def lost(made: Made, hurt: int, path: Path) -> str:
    """Read a damaged file; return what is wrong with the result, or nothing."""
    found = read(path, form=made.form)
    for story in stories(found):
        ArticleDraft.model_validate(story.draft)
    if not found:
        return "nothing is said of it"
    if not made.articles:
        return ""
    if made.item and (held := well_formed(path.read_bytes(), made.item)) is not None:
        return "" if len(found) >= held else f"{held} articles in it, {len(found)} came out or were named"
    told = " ".join(str(story.draft.get("title")) for story in stories(found))
    missing = [number for number in range(MANY) if number != hurt and f"Mark{number}x" not in told]
    return f"{missing} are missing, and nothing says so" if missing and not failed_items(found) else ""


def well_formed(content: bytes, item: str) -> int | None:
    """Return the number of articles at the right place in a well-formed file; None if it is not well-formed."""
    try:
        root = etree.fromstring(content, etree.XMLParser(resolve_entities=False, huge_tree=False))
    except (etree.XMLSyntaxError, ValueError):
        return None
    holder = root if item == "entry" else root.find("channel")
    return 0 if holder is None else sum(1 for child in holder.iterfind(f"{{*}}{item}"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run for the time given in the arguments; the exit code is 0 if nothing was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.importers", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args(arguments)
    drawn = random.Random(given.seed)
    kept = Path(tempfile.mkdtemp(prefix="newswire-importers-"))
    several, alone = [wordpress(), rss(), atom(), ndjson()], single()
    until, rounds, wrong = time.monotonic() + given.minutes * 60, 0, 0
    signal.signal(signal.SIGALRM, _too_slow)
    while time.monotonic() < until:
        rounds += 1
        made = drawn.choice(several if rounds % 3 else alone)
        hurt = drawn.randrange(len(made.articles)) if made.articles else 0
        start, end = made.articles[hurt] if made.articles else (0, len(made.content))
        path = kept / made.name
        path.write_bytes(damage(made.content, start, end, drawn))
        signal.alarm(LIMIT)
        try:
            problem = lost(made, hurt, path)
        except Exception as error:  # noqa: BLE001 (any error is a finding)
            problem = repr(error)
        finally:
            signal.alarm(0)
        if problem:
            wrong += 1
            console.print(f"{path.rename(kept / f'{rounds}-{made.form.value}{path.suffix}')}: {problem}")
    console.print(f"{rounds:,} files, {wrong} wrong (seed {given.seed})")
    return 1 if wrong else 0


def _too_slow(_number: int, _frame: FrameType | None) -> None:
    raise ReadTimeoutError(f"not read within {LIMIT} s")


if __name__ == "__main__":
    sys.exit(main())
