"""Saved pages: JSON-LD with its defects, the right title, real addresses, and only the article's text."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.importing.readers import failed_items, read, stories

SENTENCE = "The keeper said that the beam numbered {} had been lit for ninety nights, and that engineers would measure it again."
TEXT = "".join(f"<p>{SENTENCE.format(number)}</p>" for number in ("one", "two", "three", "four"))
LINKED = {
    "@context": "https://schema.org",
    "@type": "NewsArticle",
    "headline": "Beam lit for ninety nights",
    "datePublished": "2024-01-15T10:00:00Z",
    "author": {"@type": "Person", "name": "Ida Roth"},
}


def page(
    path: Path, head: str = "", body: str = f"<article><h1>Beam lit for ninety nights</h1>{TEXT}</article>"
) -> dict[str, Any]:
    path.write_text(f"<!doctype html><html lang=en><head><meta charset=utf-8>{head}</head><body>{body}</body></html>")
    (story,) = stories(read(path))
    return story.draft


def script(written: str, kind: str = "application/ld+json") -> str:
    return f'<script type="{kind}">{written}</script>'


WRITTEN = json.dumps(LINKED)


@pytest.mark.parametrize(
    "block",
    [
        script(WRITTEN),
        script(WRITTEN, "application/ld+json; charset=utf-8"),
        script(WRITTEN, "Application/LD+JSON"),
        script(f"//<![CDATA[\n{WRITTEN}\n//]]>"),
        script(f"/* <![CDATA[ */\n{WRITTEN}\n/* ]]> */"),
        script(f"<![CDATA[{WRITTEN}]]>"),
        script(f"<!--\n{WRITTEN}\n-->"),
        script(f"// by the CMS\n{WRITTEN};"),
        script(f"/* by the CMS */ {WRITTEN}"),
        script(WRITTEN[:-1] + ",}"),
        script(WRITTEN.replace("}", ",}")),
        script(WRITTEN.replace("ninety nights", "ninety\nnights\t")),
        script(WRITTEN.replace("ninety nights", "ninety nights\\'").replace("\\'", "\\' ").replace("\\' ", "")),
        script("\ufeff" + WRITTEN),
        script(WRITTEN.replace('"', "&quot;")),
        script(f"[{WRITTEN}]"),
        script(f"[[{WRITTEN}]]"),
        script('{"@graph": [{"@type": "WebSite"}, ' + WRITTEN + "]}"),
        script('{"@type": "WebPage", "mainEntity": ' + WRITTEN + "}"),
        script(WRITTEN.replace('"NewsArticle"', '["Thing", "NewsArticle"]')),
        script(WRITTEN.replace('"NewsArticle"', '"https://schema.org/ReportageNewsArticle"')),
        script('{"@type": "WebSite"}' + WRITTEN),
        script("{broken") + script(WRITTEN),
        script(WRITTEN) + script("{broken"),
        script(WRITTEN[:-1] + ', "extra": "a "quoted" word"}').replace(
            '"author": {"@type": "Person", "name": "Ida Roth"}', '"x": 1'
        )
        + '<meta name="author" content="Ida Roth">',
        script(WRITTEN.replace('{"@type": "Person", "name": "Ida Roth"}', '[[{"name": "Ida Roth"}]]')),
        script(WRITTEN.replace('{"@type": "Person", "name": "Ida Roth"}', '"Ida Roth"')),
        script(WRITTEN.replace('{"@type": "Person", "name": "Ida Roth"}', '{"@id": "#ida"}'))
        + script('{"@type": "Person", "@id": "#ida", "name": "Ida Roth"}'),
    ],
)
def test_json_ld_with_defects_is_read(block: str, tmp_path: Path) -> None:
    draft = page(tmp_path / "p.html", block)

    assert draft["title"] == "Beam lit for ninety nights"
    assert draft["authors"] == [{"name": "Ida Roth"}]
    assert draft["published_at"] == "2024-01-15T10:00:00Z"


def test_several_authors_and_other_articles(tmp_path: Path) -> None:
    authors = [
        {"name": "Ida Roth", "url": "https://pier.example/ida"},
        ["Bo Lind", {"name": ["Eva Ek"]}],
        {"name": None},
    ]
    other = {**LINKED, "headline": "Something else entirely", "url": "https://pier.example/else"}
    own = {**LINKED, "author": authors, "mainEntityOfPage": {"@id": "https://pier.example/beam"}}
    head = script(json.dumps([other, own])) + '<link rel="canonical" href="https://pier.example/beam">'
    draft = page(tmp_path / "p.html", head)

    assert draft["authors"] == [
        {"name": "Ida Roth", "url": "https://pier.example/ida"},
        {"name": "Bo Lind"},
        {"name": "Eva Ek"},
    ]
    assert draft["title"] == "Beam lit for ninety nights"


@pytest.mark.parametrize(
    ("head", "body", "title"),
    [
        (
            "<title>Beam lit again | Pier</title>",
            f"<h1>Harbour</h1><article><h2>x</h2>{TEXT}</article>",
            "Beam lit again",
        ),
        (
            "<title>Beam lit again - Pier News</title>",
            f"<h1>Harbour</h1><article><h1>Beam lit again</h1>{TEXT}</article>",
            "Beam lit again",
        ),
        (
            "<title>Pier News</title>",
            f"<header><h1>Harbour</h1></header><article><h1>Beam lit again</h1>{TEXT}</article>",
            "Beam lit again",
        ),
        ("<title>Storm - three missing</title>", f"<article>{TEXT}</article>", "Storm - three missing"),
        (
            '<title>Beam lit - The Pier</title><meta property="og:site_name" content="The Pier">',
            f"<article>{TEXT}</article>",
            "Beam lit",
        ),
        (
            '<title>x</title><meta property="og:title" content="Beam lit again">',
            f"<article>{TEXT}</article>",
            "Beam lit again",
        ),
        ('<meta property="og:title" content="Beam lit again | Pier">', f"<article>{TEXT}</article>", "Beam lit again"),
        (
            script(json.dumps({**LINKED, "headline": SENTENCE.format("one")}))
            + "<title>Beam lit again</title>"
            + f'<meta name="description" content="{SENTENCE.format("one")}">',
            f"<article><h1>Beam lit again</h1>{TEXT}</article>",
            "Beam lit again",
        ),
        (
            script(
                json.dumps(
                    {
                        **LINKED,
                        "headline": "Engineers are to come back before spring tides, a spokeswoman told reporters",
                    }
                )
            )
            + '<title>Beam lit again</title><meta property="og:title" content="Beam lit again">',
            f"<article><h1>Beam lit again</h1>{TEXT}</article>",
            "Beam lit again",
        ),
    ],
)
def test_the_title_is_the_article_s(head: str, body: str, title: str, tmp_path: Path) -> None:
    assert page(tmp_path / "p.html", head, body)["title"] == title


@pytest.mark.parametrize(
    ("head", "address"),
    [
        ('<base href="https://pier.example/news/"><link rel=canonical href="/beam">', "https://pier.example/beam"),
        ('<base href="https://pier.example/news/"><link rel=canonical href="beam">', "https://pier.example/news/beam"),
        ('<link rel="alternate Canonical" href="https://pier.example/beam">', "https://pier.example/beam"),
        (
            '<link rel=canonical href="https://pier.example/"><meta property="og:url" content="https://pier.example/beam">',
            "https://pier.example/beam",
        ),
        ('<meta property="og:url" content="https://pier.example/beam">', "https://pier.example/beam"),
    ],
)
def test_addresses_are_absolute(head: str, address: str, tmp_path: Path) -> None:
    draft = page(tmp_path / "p.html", head)
    assert (draft["external_id"], draft["canonical_url"]) == (address, address)


def test_a_relative_address_without_a_base_is_not_an_id(tmp_path: Path) -> None:
    draft = page(tmp_path / "p.html", '<link rel=canonical href="/beam">')
    assert draft["external_id"] == "p.html"
    assert "canonical_url" not in draft


def test_links_and_lazy_images_get_their_addresses(tmp_path: Path) -> None:
    pictures = (
        '<figure><img src="data:image/gif;base64,R0" data-src="/late.jpg" alt="Late"></figure>'
        '<figure><img src="/blank.gif" data-srcset="/s.jpg 300w, /l.jpg 900w"></figure>'
        '<amp-img src="amp.jpg" width="1"></amp-img>'
    )
    body = f'<article><h1>Beam</h1><p>{SENTENCE} <a href="map">map</a></p>{pictures}{TEXT}</article>'
    draft = page(tmp_path / "p.html", '<base href="https://pier.example/news/">', body)

    assert 'href="https://pier.example/news/map"' in draft["body"]
    for name in ("late.jpg", "l.jpg", "news/amp.jpg"):
        assert f'src="https://pier.example/{name}"' in draft["body"]
    assert "data:" not in draft["body"]


@pytest.mark.parametrize(
    "around",
    [
        '<div class="related-gallery"><h2>More</h2><p>{}</p><a href="/x">A related story about eels</a></div>',
        '<aside class="teaser"><p>{}</p></aside>',
        '<div id="cookie-banner"><p>{} <button>Accept</button></p></div>',
        '<section class="article__related"><p>{}</p></section>',
        '<div class="newsletter signup"><p>{}</p></div>',
        '<div class="most-read"><ul><li>{}</li></ul></div>',
        "<nav><p>{}</p></nav>",
        '<div class="comments"><p>{}</p></div>',
        "<template><p>{}</p></template>",
    ],
)
def test_boilerplate_is_removed(around: str, tmp_path: Path) -> None:
    extra = around.format("Unrelated eels were counted in the estuary, says somebody who counts eels for a living.")
    draft = page(tmp_path / "p.html", "", f"<article><h1>Beam</h1>{TEXT}{extra}</article>{extra}")

    assert "eels" not in draft["body"]
    for number in ("one", "two", "three", "four"):
        assert SENTENCE.format(number) in draft["body"]


@pytest.mark.parametrize(
    ("encoding", "head"),
    [
        ("utf-8", ""),
        ("utf-8", "<meta charset=iso-8859-1>"),
        ("cp1252", '<meta http-equiv="Content-Type" content="text/html; charset=iso-8859-1">'),
        ("cp1251", "<meta charset='windows-1251'>"),
        ("cp932", "<meta charset=Shift_JIS>"),
        ("utf-16", ""),
        ("utf-8-sig", "<meta charset=iso-8859-1>"),
        ("cp1252", ""),
    ],
)
def test_encodings(encoding: str, head: str, tmp_path: Path) -> None:
    text = {"cp1251": "Хранитель маяка сказал", "cp932": "灯台の光が九十夜ともった"}.get(
        encoding, "Café “Möwe”, so naïve"
    )
    path = tmp_path / "p.html"
    body = f"<article><h1>{text}</h1>{TEXT}<p>{text}.</p></article>"
    whole = f"<!doctype html><html><head>{head}<title>{text}</title></head><body>{body}</body></html>"
    path.write_bytes(whole.encode(encoding))

    (story,) = stories(read(path))
    assert story.draft["title"] == text
    assert text in story.draft["body"]


def test_a_paywall_is_noted(tmp_path: Path) -> None:
    path = tmp_path / "p.html"
    head = script(json.dumps({**LINKED, "isAccessibleForFree": "False"}))
    path.write_text(f"<html><head>{head}</head><body><article><h1>Beam</h1>{TEXT}</article></body></html>")

    (story,) = stories(read(path))
    assert any("behind a paywall" in note for note in story.notes)


def test_the_text_of_json_ld_is_used_if_the_page_shows_less(tmp_path: Path) -> None:
    whole = "\n\n".join(SENTENCE.format(number) for number in range(9))
    draft = page(
        tmp_path / "p.html",
        script(json.dumps({**LINKED, "articleBody": whole})),
        f"<article>{TEXT[:130]}</p></article>",
    )

    assert draft["body"].count("<p>") == 9


def test_a_page_that_only_redirects_is_reported_with_its_target(tmp_path: Path) -> None:
    path = tmp_path / "p.html"
    path.write_text(
        '<html><head><meta http-equiv="refresh" content="0; url=https://pier.example/new"></head><body></body></html>'
    )

    (fault,) = failed_items(read(path))
    assert "https://pier.example/new" in fault.reason
