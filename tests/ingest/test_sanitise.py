"""Article HTML is sanitised, keeps the allowed markup, and is converted to readable plain text."""

import pytest

from newswire_ingest.content.sanitise import plain_text, sanitise
from tests.ingest.conftest import Ingest

SCRIPTS = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<a href='javascript:alert(1)'>x</a>",
    "<a href=' java\nscript:alert(1)'>x</a>",
    "<svg onload=alert(1)><circle/></svg>",
    "<iframe src='https://evil.example'></iframe>",
    "<p style='background:url(javascript:1)' onclick=alert(1)>x</p>",
    "<math><mtext></form><form><mglyph><style></math><img src onerror=alert(1)>",
    "<img src='data:text/html,<script>alert(1)</script>'>",
    "<a href='data:text/html;base64,AAAA'>x</a>",
    "<noscript><p title='</noscript><img src=x onerror=alert(1)>'>",
    "<base href='https://evil.example/'><meta http-equiv=refresh content=0>",
    "<a href='//evil.example/x'>x</a><img src='/v1/articles'>",
]


@pytest.mark.parametrize("sent", SCRIPTS)
def test_active_content_is_removed(sent: str) -> None:
    clean = sanitise(sent).lower()
    for word in (
        "script",
        "alert",
        "onerror",
        "onload",
        "onclick",
        "style",
        "iframe",
        "evil",
        "data:",
        "src",
        "href",
        "<svg",
        "<meta",
    ):
        assert word not in clean
    assert sanitise(clean) == clean


@pytest.mark.parametrize(
    ("sent", "clean"),
    [
        ("plain & simple < text", "plain &amp; simple &lt; text"),
        ("<h1>A</h1><h5>B</h5>", "<h2>A</h2><h4>B</h4>"),
        ("<section class='x'><p>A</p></section>", "<div><p>A</p></div>"),
        (
            '<a href="https://a.example/?b=1&amp;c=2" target="_blank" class="x">A</a>',
            '<a href="https://a.example/?b=1&amp;c=2" rel="noopener noreferrer">A</a>',
        ),
        ('<a href="mailto:desk@a.example">A</a>', '<a href="mailto:desk@a.example" rel="noopener noreferrer">A</a>'),
        (
            '<figure><img src="https://a.example/b.jpg" alt="B" width="4" height="3" sizes="x"><figcaption>C</figcaption></figure>',
            '<figure><img src="https://a.example/b.jpg" alt="B" width="4" height="3"><figcaption>C</figcaption></figure>',
        ),
        (
            '<table><tr><th colspan="2" bgcolor="red">A</th></tr></table>',
            '<table><tbody><tr><th colspan="2">A</th></tr></tbody></table>',
        ),
        ("<p>A<sup>2</sup> <em>b</em> <u>c</u><!-- d --></p>", "<p>A<sup>2</sup> <em>b</em> c</p>"),
    ],
)
def test_allowed_markup_is_kept(sent: str, clean: str) -> None:
    assert sanitise(sent) == clean


@pytest.mark.parametrize(
    ("clean", "text"),
    [
        ("plain &amp; simple", "plain & simple"),
        ("<p>A b\n c</p>\n<p>D</p>", "A b c\n\nD"),
        ("<h2>A</h2><p>B<br>C</p>", "A\n\nB\nC"),
        ("<ul><li>A</li><li>B</li></ul><p>C</p>", "A\nB\n\nC"),
        ("<div><div>A</div><div>B</div></div>", "A\n\nB"),
        ("<table><tbody><tr><th>A</th><td>1</td></tr><tr><th>B</th><td>2</td></tr></tbody></table>", "A 1\nB 2"),
        ("<p>in<em>vis</em>ible</p>", "invisible"),
        ("<pre>a\nb</pre>c", "a\nb\n\nc"),
        ('<p>x <img src="https://a.example/b.jpg" alt="a > b"> y</p>', "x y"),
        ("<p>&lt;b&gt; is &quot;bold&quot;&nbsp;here</p>", '<b> is "bold" here'),
        ("", ""),
    ],
)
def test_plain_text(clean: str, text: str) -> None:
    assert plain_text(clean) == text


def test_only_the_references_of_the_sanitiser_are_decoded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr("html.unescape")
    sent = "a > b, c &lt; d, e & f, &amp;lt; &amp;amp;lt;\xa0g"
    assert plain_text(sanitise(f"<p>{sent}</p>")) == "a > b, c < d, e & f, &lt; &amp;lt; g"


async def test_script_in_any_field_is_text_or_rejected(ingest: Ingest, publisher: dict[str, str]) -> None:
    script = "<script>alert(1)</script>"
    plain = {
        "title": script,
        "summary": script,
        "author": script,
        "category": script,
        "topics": [script],
        "external_id": script,
        "correction_note": script,
        "metadata": {script: script},
        "image": {"url": "https://a.example/b.jpg", "alt": script, "caption": script, "credit": script},
    }
    answer = await ingest.http.post("/v1/articles", json={**plain, "body": f"<p>A</p>{script}"}, headers=publisher)
    assert answer.status_code == 201
    article = answer.json()
    assert article["body"] == "<p>A</p>"
    assert article["title"] == script
    assert article["url"].endswith("/script-alert-1-script")
    for name in ("language", "canonical_url", "published_at"):
        refused = await ingest.http.post(
            "/v1/articles", json={"title": "A", "body": "B", name: script}, headers=publisher
        )
        assert refused.status_code == 422
        assert refused.json()["errors"][0]["field"] == name


BASE = "https://gazette.example/2026/03/bridge?from=feed"


@pytest.mark.parametrize(
    ("sent", "clean"),
    [
        ('<a href="tunnel">A</a>', '<a href="https://gazette.example/2026/03/tunnel" rel="noopener noreferrer">A</a>'),
        (
            '<a href="/a?b=1&amp;c=2#d">A</a>',
            '<a href="https://gazette.example/a?b=1&amp;c=2#d" rel="noopener noreferrer">A</a>',
        ),
        ("<a href=../map>A</a>", '<a href="https://gazette.example/2026/map" rel="noopener noreferrer">A</a>'),
        ("<a href='//cdn.example/x'>A</a>", '<a href="https://cdn.example/x" rel="noopener noreferrer">A</a>'),
        ('<a href="#note">A</a>', f'<a href="{BASE}#note" rel="noopener noreferrer">A</a>'),
        ('<img src="/i.png" alt="A">', '<img src="https://gazette.example/i.png" alt="A">'),
        ('<img src="mailto:a@b.example">', "<img>"),
        ('<a href="http://[bad">A</a>', '<a rel="noopener noreferrer">A</a>'),
        ('<a href="ftp://a.example">A</a>', '<a rel="noopener noreferrer">A</a>'),
    ],
)
def test_relative_addresses_are_resolved_against_the_articles_own(sent: str, clean: str) -> None:
    assert sanitise(sent, BASE) == clean
    assert sanitise(clean, BASE) == clean


@pytest.mark.parametrize("sent", SCRIPTS[:-1])
def test_active_content_is_removed_with_relative_addresses(sent: str) -> None:
    clean = sanitise(sent, BASE).lower().replace(' src="https://gazette.example/2026/03/x"', "")
    for word in ("script", "alert", "onerror", "onload", "onclick", "style", "iframe", "evil", "data:", "src", "<svg"):
        assert word not in clean
    assert sanitise(clean, BASE) == clean


def test_an_invalid_base_removes_relative_addresses() -> None:
    assert sanitise('<a href="x">A</a>', "https://[::1") == '<a rel="noopener noreferrer">A</a>'


@pytest.mark.parametrize(
    ("sent", "clean"),
    [
        ("<pre>\n\n  a\n b</pre>", "<pre>\n\n  a\n b</pre>"),
        ("<pre>\na</pre>", "<pre>a</pre>"),
        ("<pre>a\n</pre>", "<pre>a\n</pre>"),
        ("<pre><b>\na</b></pre>", "<pre><b>\na</b></pre>"),
    ],
)
def test_preformatted_text_keeps_the_blank_lines_at_its_beginning(sent: str, clean: str) -> None:
    assert sanitise(sent) == sanitise(clean) == clean
