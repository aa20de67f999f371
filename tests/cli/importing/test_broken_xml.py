"""Broken feeds: damage is repaired or reported, and does not affect other items."""

from pathlib import Path

import pytest

from newswire_ingest.importing.models import SourceArticle
from tests.cli.importing.readers import failed_items, read, stories

HEAD = (
    '<rss version="2.0" xmlns:content="http://purl.org/rss/1.0/modules/content/" xmlns:dc="http://purl.org/dc/elements/1.1/">'
    "<channel><title>Pier</title><link>https://pier.example/</link><description>d</description>\n"
)
TAIL = "</channel></rss>"


def item(number: int, description: str = "x", more: str = "") -> str:
    return (
        f'<item><title>Item {number}</title><guid isPermaLink="false">{number}</guid>'
        f"<pubDate>Mon, 15 Jan 2024 10:00:00 GMT</pubDate><description>{description}</description>{more}</item>\n"
    )


def middle(path: Path, broken: str | bytes, declaration: str = "") -> SourceArticle:
    """Read a feed whose second item of three is broken; return the second one."""
    whole = (declaration + HEAD + item(1)).encode()
    whole += broken if isinstance(broken, bytes) else broken.encode()
    path.write_bytes(whole + (item(3) + TAIL).encode())
    found = read(path)
    assert failed_items(found) == []
    first, second, third = stories(found)
    assert (first.notes, third.notes) == ((), ())
    assert [each.draft["external_id"] for each in (first, second, third)] == ["1", "2", "3"]
    assert second.line == 3
    assert third.draft["published_at"] == second.draft["published_at"] == "2024-01-15T10:00:00Z"
    return second


@pytest.mark.parametrize(
    ("written", "body"),
    [
        ("salt & marsh", "<p>salt &amp; marsh</p>"),
        ("AT&T; R&D, a&b", "<p>AT&amp;T; R&amp;D, a&amp;b</p>"),
        ("salt&nbsp;marsh &eacute;&hellip;", "<p>salt\u00a0marsh é…</p>"),
        ("a&bogus;b", "<p>a&amp;bogus;b</p>"),
        ("tide\x01\x08\x0b\x1f table", "<p>tide table</p>"),
        ("\ufffe\uffffx", "<p>x</p>"),
        ("a&#0;b&#x1F;c&#xFFFF;d", "<p>abcd</p>"),
        ("half &#xD83D; face", "<p>half \ufffd face</p>"),
        ("&#xD83D;&#xDE00; &#55357;&#56832;", "<p>\U0001f600 \U0001f600</p>"),
        ("&#99999999999; &#; &#x;", "<p>\ufffd &amp;#; &amp;#x;</p>"),
        ("3 < 5 and <3", "<p>3 &lt; 5 and &lt;3</p>"),
        ("array[a[0]]> 1", "<p>array[a[0]]&gt; 1</p>"),
        ("<![CDATA[<p>a\x02b</p>]]>", "<p>ab</p>"),
        ("<![CDATA[<p>use ]]> to end</p>]]>", "<p>use ]]> to end</p>"),
        ("<![CDATA[<p>a <![CDATA[b]]> c</p>]]>", "<p>a b c</p>"),
        ("<![CDATA[<p>not closed</p>", "<p>not closed</p>"),
        ("<p>open<br>still</p>", "<p>open<br>still</p>"),
        ("<b>bold", "<b>bold"),
        ("&lt;p&gt;one&lt;/p&gt;&lt;p&gt;two<br>&lt;/p&gt;", "<p>one</p><p>two<br></p>"),
    ],
)
def test_text_is_repaired(written: str, body: str, tmp_path: Path) -> None:
    story = middle(tmp_path / "feed.xml", item(2, written))

    assert story.draft["body"] == body
    assert story.draft["title"] == "Item 2"
    assert any(note.startswith("repaired: ") for note in story.notes)


@pytest.mark.parametrize(
    "more",
    [
        "<unknown:thing a='1'>x</unknown:thing>",
        "<dc:creator x:role='a'>Ida Roth</dc:creator>",
        "<enclosure url='https://pier.example/a.png' url='b' type='image/png'/>",
        "<enclosure url=https://pier.example/a.png type='image/png'/>",
        "<source url='https://pier.example/?a=1&b=2'>S</source>",
        "<source url='a<b'>S</source>",
        "<category>open",
        "<category>Wrong</kategory>",
        "</strong>",
        "<media:group><b></media:group>",
    ],
)
def test_members_are_repaired(more: str, tmp_path: Path) -> None:
    story = middle(tmp_path / "feed.xml", item(2, "Text.", more))

    assert story.draft["body"] == "<p>Text.</p>"
    assert story.notes


@pytest.mark.parametrize("rest", ["<category><![CDATA[sta<wp:po", "<category>A</cate<![CDATA[<![CDATA[gory></item>"])
def test_unclosed_text_does_not_affect_the_next_item(rest: str, tmp_path: Path) -> None:
    """The file continues inside CDATA, as if a part of it was lost."""
    broken = item(2, "Text.", rest)
    broken = broken[: broken.index(rest) + len(rest)]
    following = item(3, "<![CDATA[<p>Whole.</p>]]>")
    path = tmp_path / "feed.xml"
    path.write_text(HEAD + item(1) + broken + following + TAIL)

    found = read(path)
    assert failed_items(found) == []
    assert [story.draft["title"] for story in stories(found)] == ["Item 1", "Item 2", "Item 3"]
    assert stories(found)[2].draft["body"] == "<p>Whole.</p>"
    assert any(note.startswith("repaired: ") for note in stories(found)[1].notes)


def test_a_broken_end_tag_ends_before_the_next_item(tmp_path: Path) -> None:
    path = tmp_path / "feed.xml"
    path.write_text(HEAD + item(1).replace("</item>\n", "</item 0") + item(2) + TAIL)
    assert [story.draft["title"] for story in stories(read(path))] == ["Item 1", "Item 2"]


def test_text_that_quotes_items_is_not_split(tmp_path: Path) -> None:
    quoted = "<![CDATA[<pre><item><title><![CDATA[x]]]]><![CDATA[></title></pre> & on]]>"
    story = middle(tmp_path / "feed.xml", item(2, quoted, "<category>AT&T</category>"))
    assert "x]]" in story.draft["body"]


def test_single_bytes_of_windows_1252_are_read_and_noted(tmp_path: Path) -> None:
    story = middle(tmp_path / "feed.xml", item(2, "Grä@").encode().replace(b"@", b"\x93\xe9\x94"))

    assert story.draft["body"] == "<p>Grä“é”</p>"
    assert story.notes == ("repaired: bytes that are not UTF-8 read as Windows-1252",)


@pytest.mark.parametrize("written", ["&#147;Don&#146;t&#148; &#x96; he said", "\x93Don\x92t\x94 \x96 he said"])
def test_control_characters_that_were_windows_1252_are_what_browsers_show(written: str, tmp_path: Path) -> None:
    story = middle(tmp_path / "feed.xml", item(2, written, f"<category>{written}</category>"))
    untitled = middle(tmp_path / "untitled.xml", item(2, written).replace("<title>Item 2</title>", ""))

    meant = "“Don’t” – he said"
    assert story.draft["body"] == f"<p>{meant}</p>"
    assert (story.draft["category"], untitled.draft["title"]) == (meant, meant)
    assert story.notes == ()


def test_a_title_made_of_a_text_has_no_characters_that_titles_must_not_have(tmp_path: Path) -> None:
    story = middle(tmp_path / "feed.xml", item(2, "left \u202eto right").replace("<title>Item 2</title>", ""))

    assert story.draft["title"] == "left to right"


def test_surrogates_written_as_utf_8_are_joined(tmp_path: Path) -> None:
    story = middle(tmp_path / "feed.xml", item(2, "face @").encode().replace(b"@", b"\xed\xa0\xbd\xed\xb8\x80"))

    assert story.draft["body"] == "<p>face \U0001f600</p>"


@pytest.mark.parametrize(
    "encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"]
)
@pytest.mark.parametrize("declared", ["", "utf-8", "utf-16", "iso-8859-1"])
def test_wide_encodings_are_recognised_by_their_bytes(encoding: str, declared: str, tmp_path: Path) -> None:
    declaration = f'<?xml version="1.0" encoding="{declared}"?>' if declared else ""
    path = tmp_path / "feed"
    path.write_bytes((declaration + HEAD + item(1, "Café “å”") + TAIL).encode(encoding))

    (story,) = stories(read(path))
    assert story.draft["body"] == "<p>Café “å”</p>"


@pytest.mark.parametrize(
    ("declared", "encoding", "text"),
    [
        ("iso-8859-1", "cp1252", "Café “quotes”"),
        ("windows-1252", "cp1252", "Café “quotes”"),
        ("ISO-8859-1", "utf-8", "Café “quotes”"),
        ("us-ascii", "utf-8", "Café “quotes”"),
        ("utf-8", "cp1252", "Café “quotes”"),
        ("utf-16", "utf-8", "Café “quotes”"),
        ("no-such-thing", "utf-8", "Café “quotes”"),
        ("rot13", "utf-8", "Café “quotes”"),
        ("", "cp1252", "Café “quotes”"),
        ("windows-1251", "cp1251", "Привет, причал"),
        ("koi8-r", "koi8-r", "Привет, причал"),
        ("shift_jis", "cp932", "港の新聞"),
        ("euc-jp", "euc-jp", "港の新聞"),
        ("iso-2022-jp", "iso-2022-jp", "港の新聞"),
        ("gb2312", "gb18030", "港口新闻"),
        ("big5", "big5", "港口新聞"),
        ("euc-kr", "cp949", "항구 신문"),
        ("iso-8859-9", "cp1254", "Şehir ışığı"),
    ],
)
def test_right_and_wrong_encoding_declarations(declared: str, encoding: str, text: str, tmp_path: Path) -> None:
    declaration = f'<?xml version="1.0" encoding="{declared}"?>' if declared else ""
    path = tmp_path / "feed.xml"
    path.write_bytes((declaration + HEAD + item(1, text) + TAIL).encode(encoding))

    (story,) = stories(read(path))
    assert story.draft["body"] == f"<p>{text}</p>"


@pytest.mark.parametrize(
    "before",
    [
        "\n",
        "\ufeff\n \n",
        "Notice: undefined variable in /var/www/x.php on line 3\n",
        "<br />\n<b>Warning</b>: headers sent in <b>x.php</b> on line <b>2</b><br />\n",
        "<!-- cached -->\n",
    ],
)
@pytest.mark.parametrize("declaration", ['<?xml version="1.0" encoding="UTF-8"?>\n', '<?xml version="1.0">', ""])
def test_text_before_the_xml_is_removed(before: str, declaration: str, tmp_path: Path) -> None:
    path = tmp_path / "feed.xml"
    path.write_text(before + declaration + HEAD + item(1) + TAIL)

    (story,) = stories(read(path))
    assert story.draft["external_id"] == "1"
    assert story.line == (before + declaration + HEAD).count("\n") + 1


def test_an_unclosed_item_ends_before_the_next_one(tmp_path: Path) -> None:
    story = middle(tmp_path / "feed.xml", item(2).replace("</item>", ""))

    assert any("not closed" in note for note in story.notes)


def test_a_truncated_file_reports_its_last_item(tmp_path: Path) -> None:
    whole = HEAD + item(1) + item(2) + item(3) + TAIL
    path = tmp_path / "feed.xml"
    for end in range(len(HEAD + item(1)), len(whole) - len(TAIL)):
        path.write_text(whole[:end])
        found = read(path)
        number = whole[:end].count("</item>")
        assert [story.draft["external_id"] for story in stories(found)] == ["1", "2", "3"][:number]
        (fault,) = failed_items(found)
        assert "the file ends" in fault.reason


def test_a_huge_item_is_reported_and_the_others_are_read(tmp_path: Path) -> None:
    path = tmp_path / "feed.xml"
    path.write_text(HEAD + item(1) + item(2, "x" * 11_000_000) + item(3) + TAIL)

    found = read(path)
    assert [story.draft["external_id"] for story in stories(found)] == ["1", "3"]
    (fault,) = failed_items(found)
    assert (fault.line, "larger than" in fault.reason) == (3, True)


def test_a_dtd_that_declares_html_entities_is_accepted(tmp_path: Path) -> None:
    path = tmp_path / "feed.xml"
    path.write_text('<!DOCTYPE rss [<!ENTITY nbsp "&#160;">]>' + HEAD + item(1, "a&nbsp;b") + TAIL)
    (story,) = stories(read(path))
    assert story.draft["body"] == "<p>a\u00a0b</p>"

    path.write_text('<!DOCTYPE rss [<!ENTITY company "ACME">]>' + HEAD + item(1, "&company;") + TAIL)
    (fault,) = failed_items(read(path))
    assert "declares its own entities" in fault.reason


def test_xml_that_is_not_a_feed_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "feed.xml"
    path.write_text('<?xml version="1.0"?><rss><channel><title>no items & broken</title>')

    (fault,) = failed_items(read(path))
    assert "broken XML" in fault.reason
