"""Any query gets a response in bounded time, with no markup but the marks of highlights.

``NEWSWIRE_FUZZ_QUERIES=20000`` asks as often; here it is some hundred times.
"""

import asyncio
import os
import random
import re
import sys
import time
from collections.abc import Iterator

from redis.asyncio import Redis

from newswire.text.query import MAX_QUERY_CHARS, QueryTooLongError, parse
from newswire_search.index.port import ArticleIndex
from tests.search.samples import publish, put
from tests.search.test_api import client_for

QUERIES = int(os.environ.get("NEWSWIRE_FUZZ_QUERIES", "150"))
DEADLINE = 60.0
WORDS = (
    'ferry harbour storm bridge <b>bold</b> <script>alert(1)</script> " onmouseover=x &amp; &lt;i&gt; café Ærø 東京都 สวัสดี '
    "मौसम مرحبا новый O'Brien U.S. 3.5 C++ ½ 🦊 👨‍👩‍👧"
).split()
NASTY = (
    "((((((((((",
    "))))))))))",
    '"""""',
    '"',
    "-",
    "--",
    "-(",
    '-"',
    "OR",
    "OR OR",
    "a OR",
    "OR a",
    "AND",
    "NOT",
    "*",
    "**",
    "a*",
    "*a",
    "a*b*",
    "?",
    "~",
    "ferry~2",
    "ferry^5",
    "[a TO b]",
    "{a TO b}",
    "/ferry.*/",
    ".*",
    "(.*)+$",
    "(a+)+$",
    "\\",
    '\\"',
    "a\\",
    "title:",
    "title:(",
    "title:*",
    'title:"',
    "topic:()",
    "published:",
    "published:..",
    "published:9999-99-99",
    "published:2026..2025",
    "published:-1",
    "_exists_:title",
    "*:*",
    "id:a1",
    "retracted:true",
    "article.body:x",
    "ferry; DROP TABLE",
    "' OR 1=1 --",
    "{{7*7}}",
    "${7*7}",
    "%00",
    "%",
    "%%20",
    "\x00",
    "a\x00b",
    "\ufeff",
    "\u202eferry\u202c",
    "\u2066ferry\u2069",
    "ferry\u200b",
    "\u0301",
    "e\u0301",
    "\ud7ff",
    "\uffff",
    "<mark>",
    "</mark>",
    "<mark>ferry</mark>",
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "&lt;script&gt;",
    "javascript:alert(1)",
    "🦊",
    "👨‍👩‍👧",
    "１２３",
    "ＦＥＲＲＹ",
    "ﬁ",
    "ß",
    "İ",
    "x" * MAX_QUERY_CHARS,
    "x" * (MAX_QUERY_CHARS + 1),
    "a " * 64,
    "a " * 65,
    "a " * 10_000,
    "(" * 500 + "a" + ")" * 500,
    '"a" ' * 60,
    "-a " * 60,
    "a* " * 60,
    "a OR " * 63 + "a",
    "(a OR b) " * 30,
    "z" * 300 + "*",
    "東" * 900,
    "ก" * 900,
    'title:(a OR (b -c)) -(d "e f)',
)
PIECES = (
    *WORDS,
    "(",
    ")",
    '"',
    "-",
    "OR",
    "*",
    "title:",
    "topic:",
    "author:",
    "published:2026-03",
    "published:2026..",
    "language:de",
    ":",
)


def queries(chance: random.Random) -> Iterator[str]:
    """Yield known difficult queries, then random pieces of the query language and random characters."""
    yield from NASTY
    while True:
        if chance.random() < 0.75:
            glue = chance.choice(["", " ", " "])
            yield glue.join(chance.choices(PIECES, k=chance.randint(1, 25)))
        else:
            planes = [(1, 0x250), (1, 0xD800), (0xE000, 0x110000)]
            yield "".join(chr(chance.randrange(*chance.choice(planes))) for _ in range(chance.randint(1, 60)))


def fits(q: str) -> bool:
    try:
        parse(q)
    except QueryTooLongError:
        return False
    return True


async def test_any_query_is_answered(index: ArticleIndex, redis: Redis, namespace: str) -> None:
    chance = random.Random(11)
    await put(
        index,
        *(
            publish(
                f"a{number:03}",
                " ".join(chance.choices(WORDS, k=6)),
                " ".join(chance.choices(WORDS, k=80)),
                topics=chance.sample(WORDS, 2),
                authors=[chance.choice(WORDS)],
                language=chance.choice(["en", "de", "ja", "ru", "und"]),
            )
            for number in range(150)
        ),
    )
    asked, found, slowest = 0, 0, (0.0, "")
    async with client_for(index, redis, namespace) as client:
        for q in queries(chance):
            if asked >= QUERIES:
                break
            asked += 1
            began = time.monotonic()
            async with asyncio.timeout(DEADLINE):
                answer = await client.get("/v1/search", params={"q": q, "limit": 5})
            slowest = max(slowest, (time.monotonic() - began, q))
            assert answer.status_code == (200 if fits(q) else 422), (q, answer.text)
            if answer.status_code == 200:
                for article in answer.json()["articles"]:
                    found += 1
                    for passage in (*article["highlights"]["title"], *article["highlights"]["body"]):
                        bare = passage.replace("<mark>", "").replace("</mark>", "")
                        assert not set(bare) & set("<>\"'"), (q, passage)
                        assert not re.search(r"&(?!(amp|lt|gt|quot|#x27);)", bare), (q, passage)
            if asked % 10 == 0:
                async with asyncio.timeout(DEADLINE):
                    page = await client.get("/search", params={"q": q})
                assert page.status_code == 200, (q, page.text)
                assert "<script>alert" not in page.text
    told = f"{asked} queries, {found} results, slowest {slowest[0] * 1000:.0f} ms: {slowest[1][:80]!r}"
    sys.stdout.write(told + "\n")
    assert found > asked // 2


async def test_search_page_accepts_any_query(index: ArticleIndex, redis: Redis, namespace: str) -> None:
    await put(index, publish("a1", "Ferry"))
    async with client_for(index, redis, namespace) as client:
        for q in NASTY:
            page = await client.get("/search", params={"q": q})
            assert page.status_code == 200, (q, page.text)


def test_the_queries_are_of_all_kinds() -> None:
    made = [q for q, _ in zip(queries(random.Random(1)), range(400), strict=False)]
    assert len(set(made)) > 390
    assert any(not fits(q) for q in made)
