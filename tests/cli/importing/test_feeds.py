"""Feeds of every kind: authors, types of text, languages, addresses, enclosures and ids."""

import json
from pathlib import Path
from typing import Any

import pytest

from newswire_ingest.importing.models import SourceArticle
from tests.cli.importing.readers import failed_items, read, stories

NAMESPACES = (
    'xmlns:content="http://purl.org/rss/1.0/modules/content/" xmlns:dc="http://purl.org/dc/elements/1.1/"'
    ' xmlns:media="http://search.yahoo.com/mrss/" xmlns:itunes="http://www.itunes.com/dtds/podcast-1.0.dtd"'
    ' xmlns:atom="http://www.w3.org/2005/Atom"'
)


def rss(
    path: Path, *items: str, channel: str = "<link>https://pier.example/</link><language>en</language>"
) -> list[SourceArticle]:
    written = "".join(f"<item>{item}</item>" for item in items)
    path.write_text(f'<rss version="2.0" {NAMESPACES}><channel><title>Pier</title>{channel}{written}</channel></rss>')
    found = read(path)
    assert failed_items(found) == []
    return stories(found)


def atom(path: Path, entry: str, feed: str = "") -> SourceArticle:
    path.write_text(
        f'<feed xmlns="http://www.w3.org/2005/Atom" xml:lang="en" xml:base="https://pier.example/"><title>Pier</title>'
        f"{feed}<entry><id>tag:pier.example,2024:1</id><title>T</title><updated>2024-01-15T10:00:00Z</updated>{entry}</entry></feed>"
    )
    (story,) = stories(read(path))
    return story


def names(story: SourceArticle) -> list[str]:
    return [author["name"] for author in story.draft.get("authors", [])]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("<author>ida@pier.press (Ida Roth)</author>", ["Ida Roth"]),
        ("<author>ida@pier.international (Ida Roth, Staff)</author>", ["Ida Roth, Staff"]),
        ("<author>noreply@xn--p1ai.xn--p1ai (Ida Roth)</author>", ["Ida Roth"]),
        ("<author>Ida Roth &lt;ida@pier.museum&gt;</author>", ["Ida Roth"]),
        ("<author>Ida Roth (ida@pier.org)</author>", ["Ida Roth"]),
        ("<author>Ida Roth</author>", ["Ida Roth"]),
        ("<author>ida@pier.org</author>", []),
        ("<author>ida@pier.museum</author>", []),
        ("<dc:creator>Ida Roth</dc:creator><dc:creator>Bo Lind</dc:creator>", ["Ida Roth", "Bo Lind"]),
        ("<dc:creator><![CDATA[Ida O&#8217;Roth]]></dc:creator>", ["Ida O’Roth"]),
        ("<author>ida@pier.org (Ida Roth)</author><dc:creator>Ida Roth</dc:creator>", ["Ida Roth"]),
        ("<itunes:author>Tide Talk</itunes:author>", ["Tide Talk"]),
        ("<atom:author><atom:name>Ida Roth</atom:name></atom:author>", ["Ida Roth"]),
    ],
)
def test_authors_of_rss(written: str, expected: list[str], tmp_path: Path) -> None:
    (story,) = rss(tmp_path / "f.xml", f"<title>T</title><guid>1</guid><description>x</description>{written}")

    assert names(story) == expected
    assert expected or any("a mail address but no name" in note for note in story.notes)


def test_authors_of_atom(tmp_path: Path) -> None:
    people = (
        "<author><name>Ida Roth</name><uri>https://pier.example/ida</uri><email>i@pier.example</email></author>"
        "<author><name>Bo Lind</name></author><contributor><name>Eva Ek</name></contributor>"
    )
    feed = "<author><name>Newsroom</name></author>"

    assert names(atom(tmp_path / "a.xml", people, feed)) == ["Ida Roth", "Bo Lind", "Eva Ek"]
    assert names(atom(tmp_path / "a.xml", "", feed)) == ["Newsroom"]
    assert names(atom(tmp_path / "a.xml", "<source><author><name>Elsewhere</name></author></source>", feed)) == [
        "Elsewhere"
    ]


@pytest.mark.parametrize(
    ("content", "body"),
    [
        ('<content type="text">a &lt;b&gt; &amp;amp; c</content>', "<p>a &lt;b&gt; &amp;amp; c</p>"),
        ("<content>x &lt; y</content>", "<p>x &lt; y</p>"),
        ('<content type="html">&lt;p&gt;a &amp;amp; b&lt;/p&gt;</content>', "<p>a &amp; b</p>"),
        ('<content type="text/html">&lt;p&gt;a&lt;/p&gt;</content>', "<p>a</p>"),
        (
            '<content type="xhtml"><div xmlns="http://www.w3.org/1999/xhtml"><p>a <b>b</b></p></div></content>',
            "<p>a <b>b</b></p>",
        ),
        ('<summary type="html">&lt;i&gt;s&lt;/i&gt;</summary>', "<i>s</i>"),
        ('<content type="html">Fish &amp;amp; chips</content>', "<p>Fish &amp; chips</p>"),
    ],
)
def test_texts_of_atom_are_read_by_their_type(content: str, body: str, tmp_path: Path) -> None:
    assert atom(tmp_path / "a.xml", content).draft["body"] == body


def test_titles_of_atom_are_read_by_their_type(tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    assert atom(path, "").draft["title"] == "T"
    whole = path.read_text()
    for title, expected in (
        ("<title>a &lt;b&gt; c</title>", "a <b> c"),
        ('<title type="html">a &lt;b&gt;b&lt;/b&gt; &amp;amp;</title>', "a b &"),
        ('<title type="xhtml"><div xmlns="http://www.w3.org/1999/xhtml">a <b>b</b></div></title>', "a b"),
    ):
        path.write_text(whole.replace("<title>T</title>", title))
        assert stories(read(path))[0].draft["title"] == expected


@pytest.mark.parametrize(
    ("entry", "language"),
    [
        ("<content>x</content>", "en"),
        ('<content xml:lang="fr">x</content>', "fr"),
        ('<content xml:lang="">x</content>', "en"),
    ],
)
def test_the_nearest_language_is_used(entry: str, language: str, tmp_path: Path) -> None:
    assert atom(tmp_path / "a.xml", entry).draft["language"] == language
    path = tmp_path / "a.xml"
    path.write_text(path.read_text().replace("<entry>", '<entry xml:lang="sv">'))
    expected = "sv" if language == "en" else language
    assert stories(read(path))[0].draft["language"] == expected


def test_an_atom_0_3_feed(tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    path.write_text(
        '<feed version="0.3" xmlns="http://purl.org/atom/ns#"><title>P</title><link rel="alternate" href="https://pier.example/"/>'
        '<entry><title mode="escaped" type="text/html">A &lt;b&gt;b&lt;/b&gt;</title>'
        '<link rel="alternate" type="text/html" href="/1"/>'
        "<id>tag:pier.example,2004:1</id><issued>2004-01-15T10:00:00Z</issued><modified>2005-01-01T00:00:00Z</modified>"
        '<content type="text/html" mode="escaped">&lt;p&gt;c&lt;/p&gt;</content></entry></feed>'
    )
    (story,) = stories(read(path))

    assert story.draft["title"] == "A b"
    assert story.draft["body"] == "<p>c</p>"
    assert story.draft["canonical_url"] == "https://pier.example/1"
    assert story.draft["published_at"] == "2004-01-15T10:00:00Z"


@pytest.mark.parametrize("version", ["http://my.netscape.com/rdf/simple/0.9/", "http://purl.org/rss/1.0/"])
def test_rdf_feeds(version: str, tmp_path: Path) -> None:
    path = tmp_path / "r.xml"
    path.write_text(
        f'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns="{version}">'
        "<channel><title>P</title><link>https://pier.example/</link></channel>"
        "<item><title>One</title><link>https://pier.example/1</link></item>"
        "<item><title>Two</title><link>/2</link></item></rdf:RDF>"
    )
    assert [(each.draft["title"], each.draft["external_id"]) for each in stories(read(path))] == [
        ("One", "https://pier.example/1"),
        ("Two", "https://pier.example/2"),
    ]


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ('<img src="/a.png">', '<img src="https://pier.example/a.png">'),
        ('<a href="/map">m</a>', '<a href="https://pier.example/map">m</a>'),
        ('<a href="?p=1">m</a>', '<a href="https://pier.example/?p=1">m</a>'),
        ('<a href="//cdn.example/x">m</a>', '<a href="https://cdn.example/x">m</a>'),
        ("<img>", ""),
        ('<img src="">', ""),
        ('<a href="">m</a>', "m"),
        ('<a name="x">m</a>', "m"),
        ('<a href="https://pier.example/x"></a>', ""),
        ('<a href="#note">1</a>', "1"),
        ('<a href="http://[">m</a>', "m"),
        (
            '<iframe src="https://video.example/1"></iframe>',
            '<p><a href="https://video.example/1">https://video.example/1</a></p>',
        ),
        (
            '<video><source src="/v.mp4"></video>',
            '<p><a href="https://pier.example/v.mp4">https://pier.example/v.mp4</a></p>',
        ),
    ],
)
def test_links_and_images_are_absolute_or_removed(written: str, kept: str, tmp_path: Path) -> None:
    item = f"<title>T</title><guid>1</guid><description><![CDATA[<p>Text {written} end</p>]]></description>"
    (story,) = rss(tmp_path / "f.xml", item)

    body = story.draft["body"]
    assert " ".join(body.replace("<p>", " <p>").replace("</p>", "</p> ").split()).count(kept or "Text") == 1
    assert "<img>" not in body
    assert "<a>" not in body
    assert 'href="/' not in body


@pytest.mark.parametrize(
    ("media", "image", "linked"),
    [
        ('<enclosure url="https://pier.example/a.png" type="image/png" length="1"/>', "a.png", ""),
        ('<enclosure url="/a.jpg" length="1"/>', "a.jpg", ""),
        ('<enclosure url="https://pier.example/e.mp3" type="audio/mpeg"/>', "", "e.mp3"),
        (
            '<itunes:image href="https://pier.example/i.png"/><enclosure url="/e.mp3" type="audio/mpeg"/>',
            "i.png",
            "e.mp3",
        ),
        (
            '<media:content url="/s.jpg" medium="image" width="100"/><media:content url="/l.jpg" medium="image" width="900"/>',
            "l.jpg",
            "",
        ),
        (
            '<media:group><media:content url="/v.mp4" type="video/mp4"/><media:thumbnail url="/t.jpg"/></media:group>',
            "t.jpg",
            "v.mp4",
        ),
        ('<media:thumbnail url="/t.jpg"/>', "t.jpg", ""),
        ('<atom:link rel="enclosure" href="/e.pdf" type="application/pdf"/>', "", "e.pdf"),
    ],
)
def test_enclosures_become_the_image_or_a_link(media: str, image: str, linked: str, tmp_path: Path) -> None:
    (story,) = rss(tmp_path / "f.xml", f"<title>T</title><guid>1</guid><description>x</description>{media}")

    assert story.draft.get("image", {}).get("url", "") == (f"https://pier.example/{image}" if image else "")
    assert story.draft["body"].count("<a ") == (1 if linked else 0)
    if linked:
        assert f'href="https://pier.example/{linked}"' in story.draft["body"]
        assert any("became a link" in note for note in story.notes)


def test_an_enclosure_without_an_address_is_noted(tmp_path: Path) -> None:
    (story,) = rss(tmp_path / "f.xml", '<title>T</title><guid>1</guid><enclosure type="audio/mpeg"/>')
    assert any("enclosure without an http address" in note for note in story.notes)


def test_an_image_keeps_its_caption_and_credit(tmp_path: Path) -> None:
    media = (
        '<media:content url="https://pier.example/a.jpg" medium="image"><media:description>The pier</media:description>'
        "<media:credit>Lena Quist</media:credit></media:content>"
    )
    (story,) = rss(tmp_path / "f.xml", f"<title>T</title><guid>1</guid>{media}")
    assert story.draft["image"] == {"url": "https://pier.example/a.jpg", "caption": "The pier", "credit": "Lena Quist"}


def test_ids_are_stable_and_absolute(tmp_path: Path) -> None:
    items = [
        "<title>A</title><guid isPermaLink='false'>a-1</guid>",
        "<title>B</title><guid>https://pier.example/b</guid>",
        "<title>C</title><guid isPermaLink='true'>/c</guid>",
        "<title>D</title><link>/d?p=1</link>",
        "<title>E</title><enclosure url='/e.mp3' type='audio/mpeg'/>",
        "<title>F</title><pubDate>Mon, 15 Jan 2024 10:00:00 GMT</pubDate>",
        "<title>G</title><guid>\n https://pier.example/g\n</guid>",
    ]
    first = rss(tmp_path / "f.xml", *items)
    second = rss(tmp_path / "f.xml", *reversed(items))

    ids = [story.draft["external_id"] for story in first]
    assert ids[:5] == ["a-1", *(f"https://pier.example/{each}" for each in ("b", "c", "d?p=1", "e.mp3"))]
    assert ids[5].startswith("urn:sha256:")
    assert ids[6] == "https://pier.example/g"
    assert [story.draft["external_id"] for story in reversed(second)] == ids
    assert first[1].draft["canonical_url"] == "https://pier.example/b"
    other = rss(tmp_path / "f.xml", *items, channel="<link>https://quay.example/</link>")
    assert {story.draft["external_id"] for story in other} & set(ids) == {"a-1", ids[1], ids[6]}


def test_relative_ids_of_feeds_without_an_address_differ_by_their_titles(tmp_path: Path) -> None:
    (one,) = rss(tmp_path / "f.xml", "<title>A</title><link>/news/rel</link>", channel="")
    assert one.draft["external_id"] == "Pier /news/rel"


def test_an_id_shared_by_several_items_identifies_none(tmp_path: Path) -> None:
    items = [
        f"<title>{n}</title><guid isPermaLink='false'>same</guid><link>https://pier.example/{n}</link>" for n in (1, 2)
    ]
    found = rss(tmp_path / "f.xml", *items)

    assert [story.draft["external_id"] for story in found] == ["https://pier.example/1", "https://pier.example/2"]
    assert all(any("several items" in note for note in story.notes) for story in found)


def test_items_that_are_only_links(tmp_path: Path) -> None:
    (story,) = rss(tmp_path / "f.xml", "<link>https://quay.example/a/story?x=1</link>")

    assert story.draft["title"] == "quay.example/a/story"
    assert (
        story.draft["body"] == '<p><a href="https://quay.example/a/story?x=1">https://quay.example/a/story?x=1</a></p>'
    )


def test_the_full_text_is_the_body_and_the_description_the_summary(tmp_path: Path) -> None:
    (story,) = rss(
        tmp_path / "f.xml",
        "<title>T</title><guid>1</guid><description>Short &amp;amp; good.</description>"
        "<content:encoded><![CDATA[<p>Full.</p>]]></content:encoded>"
        "<category domain='x'>Tides</category><category><![CDATA[R&amp;D]]></category>",
    )
    assert (story.draft["body"], story.draft["summary"]) == ("<p>Full.</p>", "Short & good.")
    assert (story.draft["category"], story.draft["topics"]) == ("Tides", ["R&D"])


def json_feed(path: Path, item: dict[str, Any], **feed: Any) -> SourceArticle:
    whole = {
        "version": "https://jsonfeed.org/version/1.1",
        "title": "P",
        "home_page_url": "https://pier.example/",
        **feed,
    }
    path.write_text(json.dumps({**whole, "items": [item]}))
    (story,) = stories(read(path))
    return story


def test_json_feed(tmp_path: Path) -> None:
    item = {
        "id": 7,
        "url": "/seven",
        "title": "Seven",
        "content_html": '<p>Text <a href="/map">m</a></p>',
        "summary": "Short.",
        "image": "/i.png",
        "date_published": "2024-01-15T10:00:00Z",
        "authors": [{"name": "Ida Roth", "url": "https://pier.example/ida"}, {"name": "Bo Lind"}],
        "tags": ["Tides", "Eels"],
        "language": "sv",
        "attachments": [{"url": "https://pier.example/e.mp3", "mime_type": "audio/mpeg", "title": "Listen"}],
    }
    assert json_feed(tmp_path / "feed.json", item).draft == {
        "title": "Seven",
        "body": '<p>Text <a href="https://pier.example/map">m</a></p><p><a href="https://pier.example/e.mp3">Listen</a></p>',
        "summary": "Short.",
        "authors": [{"name": "Ida Roth", "url": "https://pier.example/ida"}, {"name": "Bo Lind"}],
        "category": "Tides",
        "topics": ["Eels"],
        "language": "sv",
        "published_at": "2024-01-15T10:00:00Z",
        "external_id": "7",
        "canonical_url": "https://pier.example/seven",
        "image": {"url": "https://pier.example/i.png"},
    }


def test_json_feed_1_0_and_missing_members(tmp_path: Path) -> None:
    feed = {"version": "https://jsonfeed.org/version/1", "author": {"name": "Newsroom"}, "language": "en"}
    story = json_feed(
        tmp_path / "feed.json", {"id": "https://pier.example/1", "content_text": "One <1>\n\nTwo"}, **feed
    )

    assert story.draft["body"] == "<p>One &lt;1&gt;</p><p>Two</p>"
    assert (names(story), story.draft["language"]) == (["Newsroom"], "en")

    path = tmp_path / "feed.json"
    path.write_text(
        json.dumps({**feed, "items": [5, {}, {"id": "x", "title": "T", "tags": 5, "authors": "x", "attachments": [1]}]})
    )
    found = read(path)
    assert len(failed_items(found)) == 2
    assert [story.draft["title"] for story in stories(found)] == ["T"]
