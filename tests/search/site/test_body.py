"""Bodies as pages show them."""

import pytest

from newswire_ingest.content.sanitise import sanitise
from newswire_search.site.body import page_body, secure_address

REGION = '<div class="scroll" role="region" aria-label="Table" tabindex="0">'


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("<p>a &lt;img&gt; b</p>", "<p>a &lt;img&gt; b</p>"),
        (
            '<img src="http://x.example/a.jpg" alt="A > B">',
            '<img src="https://x.example/a.jpg" alt="A > B" loading="lazy" decoding="async">',
        ),
        (
            '<img src="HTTP://x.example/a.jpg">',
            '<img src="https://x.example/a.jpg" alt="" loading="lazy" decoding="async">',
        ),
        (
            '<img src="https://x.example/?u=http://y.example">',
            '<img src="https://x.example/?u=http://y.example" alt="" loading="lazy" decoding="async">',
        ),
        ("<table><tbody></tbody></table>", f"{REGION}<table><tbody></tbody></table></div>"),
        ("<pre>a\n  b</pre>", '<pre role="region" aria-label="Code" tabindex="0">a\n  b</pre>'),
        (
            '<a href="https://x.example/<table>" rel="x">b</a><pre></pre>',
            '<a href="https://x.example/<table>" rel="x">b</a><pre role="region" aria-label="Code" tabindex="0"></pre>',
        ),
        (
            '<img alt="<img src=" src="http://x.example/a">',
            '<img alt="<img src=" src="https://x.example/a" loading="lazy" decoding="async">',
        ),
    ],
)
def test_pictures_tables_and_code(body: str, expected: str) -> None:
    assert page_body(body, "Table", "Code") == expected


@pytest.mark.parametrize(
    "sent",
    [
        '<table title="</table>"><tr><td><img alt="<pre>" src="http://a.example/?<table>">x</td></tr></table><pre>y</pre>',
        "<p>1 < 2 && 3 > 2 <img src=x onerror=alert(1)><table><td>&lt;table&gt;</table>",
        "<table><tr><td><table><tr><td>inner</table></table>",
        '<a href="https://a.example/&quot;<img src=http://b.example/>">c</a><img src="http://c.example">',
    ],
)
def test_sanitised_bodies_stay_safe_and_balanced(sent: str) -> None:
    clean = sanitise(sent)
    shown = page_body(clean, "Table", "Code")
    assert shown.count("<table") == clean.count("<table")
    assert sanitise(shown).count("<div>") == shown.count('<div class="scroll"') + clean.count("<div>")
    plain = (
        sanitise(shown.replace("https://", "http://")).replace("<div>", "").replace("</div>", "").replace(' alt=""', "")
    )
    assert plain == clean.replace("https://", "http://").replace("<div>", "").replace("</div>", "").replace(
        ' alt=""', ""
    )


@pytest.mark.parametrize(
    ("url", "secure"),
    [
        ("http://x.example/a", "https://x.example/a"),
        ("HTTP://x.example/a", "https://x.example/a"),
        ("https://x.example/http://", "https://x.example/http://"),
    ],
)
def test_pictures_are_loaded_by_https(url: str, secure: str) -> None:
    assert secure_address(url) == secure
