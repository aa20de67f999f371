"""The sample of each format becomes the expected articles."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
import zstandard

from newswire_ingest.importing.format_detection import detect_format
from newswire_ingest.importing.format_names import FormatName
from newswire_ingest.importing.input_files import InputFile, find_input_files
from newswire_ingest.importing.models import SourceArticle
from tests.cli.importing.readers import SAMPLES, failed_items, read, skipped, stories


def drafts(name: str) -> list[dict[str, Any]]:
    found = read(SAMPLES / name)
    assert failed_items(found) == []
    return [story.draft for story in stories(found)]


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("wordpress.xml", "wordpress"),
        ("rss.xml", "feed"),
        ("atom.xml", "feed"),
        ("rdf.xml", "feed"),
        ("ninjs2.json", "ninjs"),
        ("ninjs3.json", "ninjs"),
        ("nitf.xml", "nitf"),
        ("newsml.xml", "newsml"),
        ("garden/roses.md", "markdown"),
        ("garden/hedges.md", "markdown"),
        ("garden/plain.md", "markdown"),
        ("page.html", "html"),
        ("seen.html", "html"),
        ("microdata.html", "html"),
        ("stories.ndjson", "ndjson"),
    ],
)
def test_a_format_is_detected_by_its_content(name: str, form: str, tmp_path: Path) -> None:
    misnamed = tmp_path / ("file.md" if name == "garden/plain.md" else "file.xml")
    misnamed.write_bytes((SAMPLES / name).read_bytes())

    (source,) = find_input_files(misnamed)
    assert isinstance(source, InputFile)
    assert detect_format(source) == form


def test_wordpress_posts() -> None:
    crane, fares = drafts("wordpress.xml")

    assert crane == {
        "title": "Crane No. 4 lifts its last load & retires",
        "body": "<p>The crane <em>swung</em> once more over the basin.</p>\n<p>The crew waved.</p>\n"
        "<p>It goes to the museum<br />\nin May.</p>\n<blockquote><p>A quiet giant.</p></blockquote>",
        "summary": "After sixty years the crane stands still.",
        "authors": [{"name": "Ida Roth"}],
        "category": "Harbour",
        "topics": ["History", "Cranes"],
        "language": "en-GB",
        "published_at": "2026-02-28T09:15:00Z",
        "external_id": "https://courier.example/?p=41",
        "canonical_url": "https://courier.example/2026/02/crane-4/",
        "image": {
            "url": "https://courier.example/wp-content/uploads/crane.jpg",
            "alt": "A crane against the evening sky",
            "caption": "The basin, seen from the ferry",
        },
    }
    assert fares["published_at"] == "2026-03-01T17:00:00Z"
    assert fares["authors"] == [{"name": "guest"}], "without an entry of its own the login names the author"
    assert "category" not in fares


def test_only_published_posts_of_wordpress_are_imported() -> None:
    passed_over = skipped(read(SAMPLES / "wordpress.xml"))

    assert [(each.line, each.reason) for each in passed_over] == [
        (48, "is of type 'attachment', not a post"),
        (61, "is of type 'page', not a post"),
        (69, "is not published but 'draft'"),
    ]


def test_rss() -> None:
    gauge, swans = drafts("rss.xml")

    assert gauge == {
        "title": "Tide gauge moves to the new pier",
        "body": '<p>The gauge now hangs <a href="https://courier.example/map">at berth 9</a>.</p>',
        "summary": "It had measured from the old one since 1931.",
        "authors": [{"name": "Tom Berg"}],
        "category": "Harbour",
        "topics": ["Tides"],
        "language": "en",
        "published_at": "2026-03-03T05:30:00Z",
        "external_id": "courier-101",
        "canonical_url": "https://courier.example/tide-gauge",
        "image": {"url": "https://courier.example/gauge.jpg"},
    }
    assert swans["title"] == "Swans & cygnets <counted>"
    assert swans["body"] == "<p>Fourteen, says the warden.</p>"
    assert swans["external_id"] == "https://courier.example/swans"
    assert [story.line for story in stories(read(SAMPLES / "rss.xml"))] == [8, 20]


def test_atom_and_rdf() -> None:
    (ship,) = drafts("atom.xml")
    (crane,) = drafts("rdf.xml")

    assert ship == {
        "title": "Die Möwe legt wieder an",
        "body": "<p>Am Morgen stand eine Menge am Kai.</p>",
        "summary": "Das Schiff fährt nach zwei Jahren wieder.",
        "authors": [{"name": "Greta Lund"}],
        "category": "Hafen",
        "topics": ["Fähren"],
        "language": "de",
        "published_at": "2026-03-01T06:00:00Z",
        "external_id": "tag:bote.example,2026:moewe",
        "canonical_url": "https://bote.example/moewe",
    }
    assert crane["authors"] == [{"name": "Greta Lund"}]
    assert crane["published_at"] == "2026-02-28T09:15:00Z"


def test_ninjs_3() -> None:
    (salt,) = drafts("ninjs3.json")

    assert salt == {
        "title": "Salt works open their gates again",
        "body": "<p>The pans are full.</p><p>Rakes are free.</p>",
        "summary": "Visitors may rake salt from May.",
        "authors": [{"name": "Ida Roth"}, {"name": "Tom Berg"}],
        "category": "Economy",
        "topics": ["Salt", "Tourism"],
        "language": "en",
        "published_at": "2026-03-01T05:40:00Z",
        "external_id": "https://agency.example/items/salt-7",
        "image": {
            "url": "https://agency.example/pictures/salt-1600.jpg",
            "width": 1600,
            "height": 960,
            "alt": "White heaps of salt",
            "caption": "The pans at noon",
            "credit": "Lena Quist",
        },
        "urgency": 4,
        "source_version": 3,
        "metadata": {"slugline": "SALT-WORKS", "located": "Little Sorrel", "copyright": "(c) 2026 Shore Agency"},
    }


def test_ninjs_2() -> None:
    (bells,) = drafts("ninjs2.json")

    assert bells["body"] == "<p>Klockstapeln är lagad.</p><p>Den ringer &lt;varje&gt; kväll.</p>"
    assert bells["authors"] == [{"name": "Greta Lund", "url": "https://agency.example/staff/lund"}]
    assert bells["published_at"] == "2026-02-27T17:00:00Z"
    assert [each.file.rpartition("/")[2] for each in skipped(read(SAMPLES / "ninjs2.json"))] == [
        "ninjs2.json item 2",
        "ninjs2.json item 3",
    ]


@pytest.mark.parametrize(
    ("written", "read_as"),
    [("4", 4), (4.0, 4), (" 4 ", 4), (0, None), (10, None), ("high", None), (2.5, None), ("9" * 5000, None)],
)
def test_a_number_of_another_kind_does_not_cost_the_article(
    written: object, read_as: int | None, tmp_path: Path
) -> None:
    """Agencies write numbers as text, and count from zero."""
    item = {"uri": "urn:x:1", "type": "text", "headline": "Lock", "body_text": "It is repaired.", "urgency": written}
    path = tmp_path / "lock.json"
    path.write_text(json.dumps({**item, "version": written}))

    (story,) = stories(read(path))
    assert story.draft.get("urgency") == read_as
    assert ("urgency" in " ".join(story.notes)) == (read_as is None)
    assert story.draft.get("source_version") == {0: 0, 10: 10}.get(written, read_as)  # type: ignore[call-overload]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be", "utf-16-le", "utf-32"])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", ["stories.ndjson", "ninjs2.json", "ninjs3.json"])
def test_json_is_read_in_wide_encodings(name: str, packed: bool, encoding: str, tmp_path: Path) -> None:
    """Windows PowerShell writes what a program prints in UTF-16."""
    text = (SAMPLES / name).read_text().replace("\n", "\r\n")
    content = (text + "\r\n" * 70_000).encode(encoding)
    (tmp_path / name).write_bytes(gzip.compress(content) if packed else content)

    assert drafts(str(tmp_path / name)) == drafts(name)


def test_nitf() -> None:
    (lock,) = drafts("nitf.xml")
    body = lock.pop("body")

    assert lock == {
        "title": "Lock gate opens a week early",
        "summary": "The lock is mended.",
        "authors": [{"name": "Tom Berg"}],
        "category": "Inland",
        "topics": ["locks", "canals", "Shipping"],
        "urgency": 5,
        "published_at": "2026-03-01T08:15:00Z",
        "external_id": "shore.20260301.lock",
        "image": {
            "url": "https://agency.example/lock.jpg",
            "alt": "The gate",
            "caption": "Water pours in",
            "credit": "Lena Quist",
        },
        "metadata": {"located": "Upper Sorrel", "copyright": "Shore Agency"},
    }
    assert "<p>Café owners by the canal <em>cheered</em>\N{NO-BREAK SPACE}— so did the bargemen.</p>" in body
    assert "<h3>What comes next</h3>" in body
    assert "<li>Paint &amp; oil</li>" in body
    assert "<blockquote><div><p>We waited long enough.</p></div></blockquote>" in body
    assert '<a href="https://agency.example/locks">the agency\'s page</a>' in body
    assert '<figure><img src="https://agency.example/lock.jpg" alt="The gate">' in body
    assert "Lena Quist" not in body


def test_newsml_g2_message() -> None:
    buoys, pier = drafts("newsml.xml")

    assert buoys == {
        "title": "Forty buoys get new lamps",
        "body": "<p>The tender left at dawn.</p>",
        "summary": "They shine twice as far.",
        "authors": [{"name": "Tom Berg", "url": "https://agency.example/staff/berg"}],
        "category": "Economy",
        "topics": ["Shipping"],
        "language": "en",
        "urgency": 3,
        "published_at": "2026-03-01T09:00:00Z",
        "external_id": "urn:newsml:agency.example:20260301:buoys",
        "source_version": 2,
        "metadata": {"slugline": "BUOYS", "located": "Little Sorrel", "copyright": "(c) 2026 Shore Agency"},
    }
    assert (pier["title"], pier["body"]) == ("Pier repainted", "<p>Green &lt;again&gt;.</p>")
    assert pier["authors"] == [{"name": "Ida Roth"}]
    assert [each.reason for each in skipped(read(SAMPLES / "newsml.xml"))] == [
        "is a packageItem, which contains no text",
        "is of class 'picture' and contains no text",
    ]


def test_a_folder_of_markdown() -> None:
    hedges, walk, roses = drafts("garden")

    assert hedges == {
        "title": "Hedges grow back",
        "body": "<p>They do.</p>\n",
        "authors": [{"name": "Lena Quist"}],
        "published_at": "2026-03-06T00:00:00Z",
        "external_id": "hedge-1",
    }
    assert (walk["title"], walk["external_id"]) == ("A walk without front matter", "plain")
    assert walk["body"] == "<p>It rained.</p>\n"
    assert roses["authors"] == [{"name": "Ida Roth"}, {"name": "Tom Berg"}]
    assert (roses["category"], roses["topics"]) == ("Town", ["Gardens", "roses", "trams"])
    assert roses["published_at"] == "2026-03-05T08:00:00Z"
    assert "<td>12</td>" in roses["body"]
    assert [each.reason for each in skipped(read(SAMPLES / "garden"))] == ["is a draft"]


def test_json_ld_takes_precedence_over_open_graph_and_text() -> None:
    (lens,) = drafts("page.html")
    body = lens.pop("body")

    assert lens == {
        "title": "Lighthouse sells its old lens",
        "summary": "The lens goes to a school.",
        "authors": [{"name": "Ida Roth", "url": "https://courier.example/staff/roth"}],
        "category": "Harbour",
        "topics": ["Lighthouses", "Schools"],
        "language": "en",
        "published_at": "2026-02-20T09:00:00Z",
        "external_id": "https://courier.example/lens",
        "canonical_url": "https://courier.example/lens",
        "image": {"url": "https://courier.example/lens.jpg", "alt": "A lens of rings"},
    }
    assert body.startswith("<p>The lens has turned")
    assert body.endswith("from the summer on.</p>")
    assert "alert" not in body


def test_a_page_without_metadata_is_read_by_its_visible_text() -> None:
    (bakery,) = drafts("seen.html")

    assert bakery["title"] == "Bakery bakes by moonlight"
    assert bakery["authors"] == [{"name": "Lena Quist"}]
    assert bakery["category"] == "Town"
    assert bakery["published_at"] == "2026-02-12T00:00:00Z"
    assert bakery["external_id"] == "seen.html"
    assert bakery["body"].startswith("<p>At two in the morning")
    assert bakery["body"].endswith("wall of the oven.</p>")


def test_microdata() -> None:
    (bell,) = drafts("microdata.html")

    assert bell == {
        "title": "Bell rope replaced",
        "body": "<p>The new rope is <strong>hemp</strong>.</p>",
        "authors": [{"name": "Greta Lund"}],
        "language": "en",
        "published_at": "2026-01-15T08:00:00Z",
        "external_id": "https://courier.example/bell",
        "canonical_url": "https://courier.example/bell",
    }


def test_ndjson_of_other_systems() -> None:
    found = read(SAMPLES / "stories.ndjson")
    stock, markup = stories(found)

    assert stock.draft == {
        "external_id": "17",
        "title": "Stock of <ABC> rises",
        "published_at": "2026-02-02T10:00:00Z",
        "body": "<p>First paragraph.</p><p>Profit &amp; loss of &lt;ABC&gt;.</p>",
    }
    assert markup.draft["body"] == "<p>Already <em>HTML</em>.</p>"
    assert stock.notes == ("omitted in this line and all following ones: dateline",)
    assert markup.notes[0] == "omitted in this line and all following ones: mood"


@pytest.mark.parametrize("suffix", ["gz", "zst"])
def test_compressed_ndjson(suffix: str, tmp_path: Path) -> None:
    packed = tmp_path / f"stories.ndjson.{suffix}"
    content = (SAMPLES / "stories.ndjson").read_bytes()
    packed.write_bytes(gzip.compress(content) if suffix == "gz" else zstandard.compress(content))

    assert [found.draft for found in read(packed) if isinstance(found, SourceArticle)] == drafts("stories.ndjson")


def test_a_given_format_overrides_detection(tmp_path: Path) -> None:
    page = tmp_path / "fragment.txt"
    page.write_text("<section><h1>Hm</h1><p>It is raining on the quay, and nobody minds.</p></section>")

    assert failed_items(read(page))
    (story,) = stories(read(page, form=FormatName.HTML))
    assert "raining on the quay" in story.draft["body"]
