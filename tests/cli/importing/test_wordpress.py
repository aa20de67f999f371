"""WordPress exports: text as WordPress displays it, shortcodes, terms, and which posts are published."""

from pathlib import Path
from typing import Any

import pytest

from newswire_ingest.importing.formats.wordpress_text import body
from newswire_ingest.importing.models import SourceArticle, SourceItem
from tests.cli.importing.readers import failed_items, read, skipped, stories

HEAD = """<?xml version="1.0" encoding="UTF-8" ?>
<rss version="2.0" xmlns:excerpt="http://wordpress.org/export/1.2/excerpt/"
 xmlns:content="http://purl.org/rss/1.0/modules/content/" xmlns:dc="http://purl.org/dc/elements/1.1/"
 xmlns:wp="http://wordpress.org/export/1.2/">
<channel><title>Pier</title><link>https://pier.example</link><language>en</language><wp:wxr_version>1.2</wp:wxr_version>
<wp:author><wp:author_login><![CDATA[ida]]></wp:author_login>
<wp:author_display_name><![CDATA[Ida O&#039;Roth &amp; Co]]></wp:author_display_name></wp:author>
"""
TAIL = "</channel></rss>"
PICTURES = "".join(
    f"<item><title>p{n}</title><wp:post_id>{n}</wp:post_id><wp:post_parent>41</wp:post_parent>"
    f"<wp:post_type>attachment</wp:post_type><wp:status>inherit</wp:status>"
    f"<wp:attachment_url>https://pier.example/{n}.jpg</wp:attachment_url>"
    f"<excerpt:encoded><![CDATA[Caption {n}]]></excerpt:encoded></item>"
    for n in (7, 8)
)


def post(content: str = "x", more: str = "", status: str = "publish", password: str = "", kind: str = "post") -> str:
    return (
        f"<item><title>T</title><link>https://pier.example/t</link><guid>https://pier.example/?p=41</guid>"
        f"<dc:creator><![CDATA[ida]]></dc:creator><content:encoded><![CDATA[{content}]]></content:encoded>"
        f"<wp:post_id>41</wp:post_id><wp:post_date_gmt>2024-01-15 10:00:00</wp:post_date_gmt>"
        f"<wp:status>{status}</wp:status><wp:post_type>{kind}</wp:post_type>"
        f"<wp:post_password>{password}</wp:post_password>{more}</item>"
    )


def found(path: Path, *items: str) -> list[SourceItem]:
    path.write_text(HEAD + PICTURES + "".join(items) + TAIL)
    return [each for each in read(path) if "attachment" not in getattr(each, "reason", "")]


def story(path: Path, *items: str) -> SourceArticle:
    (only,) = found(path, *items)
    assert isinstance(only, SourceArticle)
    return only


@pytest.mark.parametrize(
    ("stored", "shown"),
    [
        ("One.\n\nTwo.", "<p>One.</p>\n<p>Two.</p>"),
        ("One,\ntwo.", "<p>One,<br />\ntwo.</p>"),
        ("One.\r\n\r\nTwo,\r\nthree.", "<p>One.</p>\n<p>Two,<br />\nthree.</p>"),
        ("One.\n \t\n\n\nTwo.", "<p>One.</p>\n<p>Two.</p>"),
        ("One<br>\n<br/>Two", "<p>One</p>\n<p>Two</p>"),
        ("One<br />\nTwo", "<p>One<br />\nTwo</p>"),
        ("Code:\n\n<pre>a\n\n  b\n</pre>\n\nEnd.", "<p>Code:</p>\n<pre>a\n\n  b\n</pre>\n<p>End.</p>"),
        ("<pre>a\n\nb</pre>c", "<pre>a\n\nb</pre>\n<p>c</p>"),
        ("<h2>Head</h2>\nText\nmore", "<h2>Head</h2>\n<p>Text<br />\nmore</p>"),
        ("Text<div>inside</div>after", "<p>Text</p>\n<div>inside</div>\n<p>after</p>"),
        ("<ul>\n<li>a</li>\n<li>b\nc</li>\n</ul>", "<ul>\n<li>a</li>\n<li>b<br />\nc</li>\n</ul>"),
        ("<blockquote>One.\n\nTwo.</blockquote>", "<blockquote><p>One.</p>\n<p>Two.</p></blockquote>"),
        ("One.\n\n<p>Own.</p>\n\nTwo.", "<p>One.</p>\n<p>Own.</p>\n<p>Two.</p>"),
        ("<em>a\nb</em>\n\n<strong>c</strong>", "<p><em>a<br />\nb</em></p>\n<p><strong>c</strong></p>"),
        ('A <a\nhref="x"\n>b</a>', '<p>A <a\nhref="x"\n>b</a></p>'),
        ("a<hr>b", "<p>a</p>\n<hr>\n<p>b</p>"),
        ("<!--more-->\n\nText", "<!--more-->\n<p>Text</p>"),
        ("a & b &lt; c", "<p>a & b &lt; c</p>"),
        ("港の\n新聞\n\n記事", "<p>港の<br />\n新聞</p>\n<p>記事</p>"),
        ("<table>\n<tr><td>a\n\nb</td></tr>\n</table>", "<table>\n<tr>\n<td>a\n<p>b</p></td>\n</tr>\n</table>"),
        ("https://video.example/1", '<p><a href="https://video.example/1">https://video.example/1</a></p>'),
        ("", ""),
        (" \n\n ", ""),
    ],
)
def test_paragraphs_are_those_that_wordpress_displays(stored: str, shown: str) -> None:
    assert body(stored) == (shown, [])


def test_the_block_editor_stores_complete_html() -> None:
    stored = (
        '<!-- wp:heading {"level":3} -->\n<h3>Head</h3>\n<!-- /wp:heading -->\n\n'
        "<!-- wp:paragraph -->\n<p>One\ntwo</p>\n<!-- /wp:paragraph -->\n\n"
        '<!-- wp:latest-posts {"postsToShow":3} /-->\n<!-- wp:spacer /-->'
    )
    shown, notes = body(stored)

    assert shown.split() == "<h3>Head</h3> <p>One two</p>".split()
    assert notes == ["the block 'latest-posts', which WordPress fills when it displays it: omitted"]


@pytest.mark.parametrize(
    ("stored", "shown"),
    [
        (
            '[caption id="a" width="6"]<img src="https://pier.example/a.jpg" /> A <em>boat</em>[/caption]',
            '<figure><img src="https://pier.example/a.jpg" /><figcaption>A <em>boat</em></figcaption></figure>',
        ),
        (
            '[wp_caption caption="A &amp; B"]<a href="https://a.example"><img src="https://pier.example/a.jpg"></a>[/wp_caption]',
            '<figure><a href="https://a.example"><img src="https://pier.example/a.jpg"></a>'
            "<figcaption>A &amp; B</figcaption></figure>",
        ),
        (
            "[sic] [Applause] [1] [re-elected] [editor's note: x=1]",
            "<p>[sic] [Applause] [1] [re-elected] [editor's note: x=1]</p>",
        ),
        ("[[gallery]] and [ x ]", "<p>[gallery] and [ x ]</p>"),
        ('<pre>[box a="1"]x[/box]</pre>', '<pre>[box a="1"]x[/box]</pre>'),
        ("array[i] = b[j]", "<p>array[i] = b[j]</p>"),
    ],
)
def test_shortcodes_without_loss_add_no_notes(stored: str, shown: str, tmp_path: Path) -> None:
    found = story(tmp_path / "w.xml", post(stored))

    assert found.draft["body"] == shown
    assert found.notes == ()


@pytest.mark.parametrize(
    ("stored", "kept", "note"),
    [
        ("[gallery ids='8,7']", ["8.jpg", "Caption 8", "7.jpg"], ""),
        ("[gallery]", ["7.jpg", "8.jpg"], ""),
        ('[gallery ids="99"]', [], "[gallery]: omitted"),
        ('[audio mp3="https://pier.example/a.mp3"][/audio]', ['href="https://pier.example/a.mp3"'], "became links"),
        ("[audio https://pier.example/a.mp3]", ['href="https://pier.example/a.mp3"'], "became links"),
        ("[video width='1' mp4='https://pier.example/a.mp4']", ['href="https://pier.example/a.mp4"'], "became links"),
        ("[embed]https://video.example/1[/embed]", ['href="https://video.example/1"'], "became links"),
        ("[embed width='3']\nhttps://video.example/1\n[/embed]", ['href="https://video.example/1"'], "became links"),
        ('[su_box title="T"]Inside <b>text</b>[/su_box]', ["Inside <b>text</b>"], "[su_box]"),
        ("[vc_row][vc_column width='1/2']Deep[/vc_column][/vc_row]", ["Deep"], "[vc_column]"),
        ("[box]Plain[/box]", ["Plain"], "[box]"),
        ('[contact-form-7 404 "Not Found"]', [], "[contact-form-7]"),
        ("[youtube https://video.example/2]", ['href="https://video.example/2"'], "[youtube]"),
        ("[toc]", [], "[toc]"),
        ('[tweet id="5" /]', [], "[tweet]"),
        ("[caption]left open", ["left open"], ""),
    ],
)
def test_shortcodes_are_converted_or_noted(stored: str, kept: list[str], note: str, tmp_path: Path) -> None:
    found = story(tmp_path / "w.xml", post(f"Before.\n\n{stored}\n\nAfter."))
    text = found.draft["body"]

    assert "[" not in text
    assert text.startswith("<p>Before.</p>\n")
    assert text.endswith("\n<p>After.</p>")
    positions = [text.index(each) for each in kept]
    assert positions == sorted(positions)
    assert any(note in each for each in found.notes) if note else found.notes == ()


def test_terms_are_decoded_and_sorted(tmp_path: Path) -> None:
    terms = (
        '<category domain="category" nicename="fish"><![CDATA[Fish &amp; Chips]]></category>'
        '<category domain="category" nicename="tides">Tides</category>'
        '<category domain="post_tag" nicename="rd"><![CDATA[R&amp;D &#8217;24]]></category>'
        '<category domain="region" nicename="n">North</category>'
        '<category domain="post_format" nicename="post-format-aside">Aside</category>'
    )
    found = story(tmp_path / "w.xml", post(more=terms))

    assert found.draft["category"] == "Fish & Chips"
    assert found.draft["topics"] == ["Tides", "R&D ’24"]
    assert found.draft["authors"] == [{"name": "Ida O'Roth & Co"}]
    assert found.notes == ("the taxonomy 'region': omitted",)


def test_terms_of_wxr_1_0(tmp_path: Path) -> None:
    terms = (
        "<category><![CDATA[Tides]]></category>"
        '<category domain="category" nicename="tides"><![CDATA[Tides]]></category>'
        '<category domain="tag"><![CDATA[Eels]]></category><category domain="tag" nicename="eels"><![CDATA[Eels]]></category>'
    )
    path = tmp_path / "w.xml"
    path.write_text((HEAD + post(more=terms) + TAIL).replace("export/1.2/", "export/1.0/"))

    (only,) = stories(read(path))
    assert (only.draft["category"], only.draft["topics"]) == ("Tides", ["Eels"])


def test_all_co_authors_are_imported(tmp_path: Path) -> None:
    more = "".join(
        f'<category domain="author" nicename="cap-{name[:2].lower()}">{name}</category>' for name in ("ida", "Bo Lind")
    )

    assert story(tmp_path / "w.xml", post(more=more)).draft["authors"] == [
        {"name": "Ida O'Roth & Co"},
        {"name": "Bo Lind"},
    ]


@pytest.mark.parametrize(
    "status", ["draft", "pending", "private", "trash", "auto-draft", "inherit", "future", "", "acf-disabled"]
)
def test_unpublished_posts_are_skipped(status: str, tmp_path: Path) -> None:
    (each,) = found(tmp_path / "w.xml", post(status=status))

    assert skipped([each])


@pytest.mark.parametrize(
    "broken",
    ["&", "\x01", "&nbsp;", "<b>", "</b>", "<wp:comment><b></wp:comment>", "<wp:postmeta><![CDATA[</wp:postmeta>"],
)
@pytest.mark.parametrize("before", [True, False])
def test_a_broken_post_with_a_password_is_skipped(broken: str, before: bool, tmp_path: Path) -> None:
    item = post(password="secret", more="" if before else broken)
    item = item.replace("<content:encoded>", broken + "<content:encoded>") if before else item

    for each in found(tmp_path / "w.xml", item):
        assert not isinstance(each, SourceArticle)


def test_a_scheduled_post_is_embargoed_until_its_date(tmp_path: Path) -> None:
    scheduled = post(status="future").replace("2024-01-15 10:00:00", "2027-01-15 10:00:00")
    found = story(tmp_path / "w.xml", scheduled)

    assert found.draft["embargo_until"] == "2027-01-15T10:00:00Z"
    assert "published_at" not in found.draft


@pytest.mark.parametrize("kind", ["page", "nav_menu_item", "wp_block", "custom_css", "product", "revision"])
def test_other_post_types_are_skipped(kind: str, tmp_path: Path) -> None:
    (each,) = found(tmp_path / "w.xml", post(kind=kind))

    assert f"'{kind}'" in skipped([each])[0].reason


def test_split_cdata_is_one_text(tmp_path: Path) -> None:
    found = story(tmp_path / "w.xml", post("<p>a ]]]]><![CDATA[> b</p>"))

    assert found.draft["body"] == "<p>a ]]> b</p>"


def test_only_the_control_character_itself_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "w.xml"
    items = [
        post(f"Text {n}{mark}.").replace("?p=41", f"?p={n}") for n, mark in enumerate(("", "\x0b\x1c", "", "\x00"))
    ]
    path.write_text(HEAD + "".join(items) + TAIL)

    each = read(path)
    bodies: list[Any] = [found.draft["body"] for found in stories(each)]
    assert bodies == [f"<p>Text {n}.</p>" for n in range(4)]
    assert failed_items(each) == []
    assert [bool(found.notes) for found in stories(each)] == [False, True, False, True]
