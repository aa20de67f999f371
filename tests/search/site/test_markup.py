"""The pages of the reader site are valid HTML, whatever articles contain."""

from pathlib import Path

from redis.asyncio import Redis

from newswire.keys import Keyspace
from newswire.newsletters import PublicNewsletter, write_public_newsletters
from newswire_search.index.embedded.index import EmbeddedIndex
from newswire_search.site.newsletter_box import NewsletterBoxes
from tests.markup import markup_errors
from tests.search.reader_client import client_for
from tests.search.samples import publish, put
from tests.search.site.test_pages import EVIL

BODY = """<p>One <em>two</em> <a href="https://x.example/?a=1&amp;b=2">three</a>.</p><h2>Hours</h2><table><tr><th>Hour</th></tr>
<tr><td>6</td></tr></table><pre>ferry</pre><figure><img src="http://x.example/b.jpg" alt=""><figcaption>A quay</figcaption></figure>
<blockquote><p>Said.</p></blockquote><ol><li>First<ul><li>Second</li></ul></li></ol>"""
PATHS = {
    "front": "/",
    "live": "/live",
    "sections": "/sections",
    "section": "/sections/Harbour",
    "topic": "/topics/Quays",
    "author": "/authors/Ann%20Lee",
    "search": "/search?q=quay&topic=Quays&from=2020-01-01",
    "search without results": "/search?q=zeppelin",
    "search for signs": "/search?q=%3C%22%26",
    "about": "/about",
    "missing": "/nothing",
    "refused": "/search?sort=best",
}
SITE = {
    "site_name": 'The "Harbour" & <Post>',
    "site_tagline": "News & more",
    "site_imprint": "Quay 1\n\n<Tidehaven>",
    "site_twitter": "@harbour",
    "site_language": "de",
}


async def test_pages_are_valid_html(
    embedded_index: EmbeddedIndex, redis: Redis, namespace: str, tmp_path: Path
) -> None:
    image = {"url": "https://x.example/a.jpg", "alt": 'A "quay"', "width": 1200, "height": 800, "credit": "I. M."}
    labels = {"category": "Harbour", "topics": ["Quays"], "authors": ["Ann Lee"], "language": "en"}
    articles = [publish(f"a{n:02}", f"Quay {n}", "The quay. " * 20, **labels) for n in range(32)]
    rich = {**labels, "image": image, "metadata": {"hreflang-de": "https://de.example/a"}, "summary": EVIL}
    special = {
        "rich": publish("b1", "Quay closes", body=BODY, text="One two", correction_note=EVIL, **rich),
        "evil": publish("b2", EVIL, EVIL, category=EVIL, topics=[EVIL], authors=[EVIL], summary=EVIL),
        "arabic": publish("b3", "العبّارة تبحر", "غادرت العبّارة.", language="ar", category="الميناء"),
        "least": publish("b4", "Least"),
    }
    await put(embedded_index, *articles, *special.values())
    letter = PublicNewsletter(
        slug="letter", name="رسالة", description=EVIL, language="ar", text_language="de", topics=["Quays", EVIL]
    )
    letter.texts |= dict.fromkeys(("email", "topics", "topics_hint", "subscribe", "consent"), "Text")
    await write_public_newsletters(redis, Keyspace(namespace), [letter])
    boxes = NewsletterBoxes(redis, Keyspace(namespace))
    async with client_for(embedded_index, redis, namespace, newsletters=boxes, **SITE) as client:
        paths = PATHS | {name: f"/articles/{made.id}" for name, made in special.items()}
        found = {}
        for name, path in paths.items():
            answer = await client.get(path, headers={"Accept": "text/html"}, follow_redirects=True)
            assert answer.headers["content-type"].startswith("text/html"), name
            found[name] = answer.text
    assert markup_errors(found, tmp_path) == []


def test_the_checker_finds_errors(tmp_path: Path) -> None:
    source = '<!doctype html><html lang="en"><head><title>A</title></head><body><p><div>B</div></p></body></html>'
    assert any("p, line 1" in error for error in markup_errors({"p": source}, tmp_path))
