"""Malicious files: each is rejected with its reason, in little memory, and the import continues."""

import gzip
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
import zstandard

from newswire_ingest.content.sanitise import sanitise
from newswire_ingest.importing.format_names import FormatName
from newswire_ingest.importing.formats.json_documents import MAX_LINE_BYTES
from newswire_ingest.importing.input_files import MAX_DOCUMENT_BYTES
from tests.cli.importing.readers import failed_items, read, stories
from tests.cli.running import BARE
from tests.servers.http_server import serving

GOOD = {"external_id": "good", "title": "All is well", "body": "<p>Indeed.</p>", "published_at": "2026-01-01T00:00:00Z"}
MOST_MEMORY = 300
"""MiB; the interpreter with all readers takes about 100."""
READ_IN_A_PROCESS = """
import pathlib, re, resource, sys
from tests.cli.importing.readers import failed_items, read, stories
found = read(*sys.argv[1:])
status = pathlib.Path("/proc/self/status")  # what getrusage says of Linux begins with the peak of whoever started this
if status.exists():
    peak = int(re.search(r"VmHWM:\\s+(\\d+)", status.read_text())[1]) // 1024
else:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024**2
print(len(stories(found)), peak)
for fault in failed_items(found):
    print(fault.reason)
"""


def problem(path: Path, content: bytes | str, form: FormatName | None = None) -> str:
    """Read a bad file together with a good one; return the reason for rejecting the bad one."""
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    good = path.parent / "good.ndjson"
    good.write_text(json.dumps(GOOD))
    found = read(path, form=form) + read(good)
    assert [story.draft["external_id"] for story in stories(found)][-1] == "good"
    assert len(stories(found)) == 1
    (fault,) = failed_items(found)
    assert fault.file == str(path)
    return f"{fault.line}: {fault.reason}"


def measured(*paths: Path) -> tuple[int, int, list[str]]:
    """Read in a separate process; return the number of articles, the peak memory in MiB, and the reasons."""
    arguments = [sys.executable, "-c", READ_IN_A_PROCESS, *map(str, paths)]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=280, env=BARE, check=True)
    first, *reasons = done.stdout.splitlines()
    number, memory = first.split()
    return int(number), int(memory), reasons


def nitf(inside: str, doctype: str = "") -> str:
    return (
        f'<?xml version="1.0"?>\n{doctype}\n<nitf><head><title>T</title><docdata><doc-id id-string="n1"/></docdata></head>'
        f"<body><body.content><p>{inside}</p></body.content></body></nitf>"
    )


@pytest.fixture
def asked() -> Iterator[tuple[str, list[str]]]:
    """A web server that records its requests."""
    paths: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            paths.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"fetched")

        def log_message(self, *_: object) -> None: ...

    with serving(Handler) as site:
        yield site, paths


def test_billion_laughs(tmp_path: Path) -> None:
    laughs = '<!ENTITY a "ha">' + "".join(
        f'<!ENTITY {name} "{f"&{before};" * 10}">' for before, name in zip("abcdefghi", "bcdefghij", strict=True)
    )
    (tmp_path / "laughs.xml").write_text(nitf("&j;", f"<!DOCTYPE nitf [{laughs}]>"))

    number, memory, (reason,) = measured(tmp_path / "laughs.xml")
    assert number == 0
    assert "entit" in reason
    assert memory < MOST_MEMORY


def test_billion_laughs_in_an_attribute(tmp_path: Path) -> None:
    laughs = '<!ENTITY a "ha">' + "".join(
        f'<!ENTITY {name} "{f"&{before};" * 10}">' for before, name in zip("abcdefghi", "bcdefghij", strict=True)
    )
    content = f'<!DOCTYPE rss [{laughs}]><rss xmlns:wp="http://wordpress.org/export/1.2/" note="&j;"><channel/></rss>'

    assert "entit" in problem(tmp_path / "laughs.xml", content)


def test_quadratic_blow_up(tmp_path: Path) -> None:
    doctype = f'<!DOCTYPE nitf [<!ENTITY a "{"a" * 40_000}">]>'
    (tmp_path / "quadratic.xml").write_text(nitf("&a;" * 10_000, doctype))

    number, memory, (reason,) = measured(tmp_path / "quadratic.xml")
    assert number == 0
    assert "entit" in reason
    assert memory < MOST_MEMORY


def test_an_external_entity_reads_no_file(tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("the secret")
    content = nitf("&x;", f'<!DOCTYPE nitf [<!ENTITY x SYSTEM "file://{secret}">]>')

    assert "declares its own entities" in problem(tmp_path / "xxe.xml", content)


def test_an_external_entity_and_a_dtd_are_not_fetched(tmp_path: Path, asked: tuple[str, list[str]]) -> None:
    site, paths = asked
    entity = nitf("&x;", f'<!DOCTYPE nitf [<!ENTITY x SYSTEM "{site}/entity">]>')
    parameter = nitf("hm", f'<!DOCTYPE nitf [<!ENTITY % x SYSTEM "{site}/parameter"> %x;]>')
    assert "declares its own entities" in problem(tmp_path / "entity.xml", entity)
    assert "declares its own entities" in problem(tmp_path / "parameter.xml", parameter)

    external = tmp_path / "dtd.xml"
    external.write_text(nitf("harmless", f'<!DOCTYPE nitf SYSTEM "{site}/nitf.dtd">'))
    (story,) = stories(read(external))
    assert story.draft["body"] == "<p>harmless</p>"
    assert paths == []


def test_xinclude_includes_nothing(tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("the secret")
    path = tmp_path / "include.xml"
    path.write_text(
        nitf(f'a<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" parse="text" href="file://{secret}"/>b')
    )

    (story,) = stories(read(path))
    assert story.draft["body"] == "<p>ab</p>"


def test_a_wrong_encoding_is_repaired_and_noted(tmp_path: Path) -> None:
    latin, unknown = tmp_path / "latin.xml", tmp_path / "klingon.xml"
    latin.write_bytes(nitf("caf\xe9").replace('"1.0"', '"1.0" encoding="UTF-8"').encode("latin-1"))
    unknown.write_text(nitf("x").replace('"1.0"', '"1.0" encoding="klingon"'))

    (cafe,), (x,) = stories(read(latin)), stories(read(unknown))
    assert cafe.draft["body"] == "<p>café</p>"
    assert any("Windows-1252" in note for note in cafe.notes)
    assert x.draft["body"] == "<p>x</p>"
    assert any("'klingon'" in note for note in x.notes)


@pytest.mark.parametrize(
    ("encoding", "noted"),
    [("utf-8", False), ("utf-8-sig", False), ("utf-16", False), ("utf-16-le", False), ("cp1252", True)],
)
def test_markdown_is_read_in_the_encoding_that_it_has(encoding: str, noted: bool, tmp_path: Path) -> None:
    path = tmp_path / "cafe.md"
    path.write_bytes("---\r\ntitle: “Café”\r\ndate: 2024-01-15\r\n---\r\nÇa va.\r\n".encode(encoding))

    (cafe,) = stories(read(path))
    assert (cafe.draft["title"], cafe.draft["body"].strip()) == ("“Café”", "<p>Ça va.</p>")
    assert any("Windows-1252" in note for note in cafe.notes) is noted


def test_truncated_wordpress_keeps_complete_posts(tmp_path: Path) -> None:
    whole = (Path(__file__).parent / "samples" / "wordpress.xml").read_text()
    path = tmp_path / "cut.xml"
    path.write_text(whole[: whole.index("A single still costs")])

    found = read(path)
    assert [story.draft["title"] for story in stories(found)] == ["Crane No. 4 lifts its last load & retires"]
    (fault,) = failed_items(found)
    assert fault.line == 77
    assert "broken XML" in fault.reason


def test_a_truncated_feed_keeps_complete_entries(tmp_path: Path) -> None:
    whole = (Path(__file__).parent / "samples" / "rss.xml").read_text()
    path = tmp_path / "cut.xml"
    path.write_text(whole[: whole.index(", says the warden")])

    found = read(path)
    assert [story.draft["external_id"] for story in stories(found)] == ["courier-101"]
    assert "broken XML" in failed_items(found)[0].reason


def test_truncated_json(tmp_path: Path) -> None:
    assert problem(tmp_path / "one.json", '{\n  "uri": "u",\n  "headlines": [{"value": "x"}').startswith(
        "3: is not JSON"
    )
    assert problem(tmp_path / "lines.ndjson", '{"title": "x", "bo').startswith("1: is not JSON")


def test_truncated_compression(tmp_path: Path) -> None:
    content = os.urandom(50_000).hex().encode()
    lines = b'{"external_id": "a", "title": "x", "body": "' + content + b'"}\n'

    assert "truncated" in problem(tmp_path / "cut.ndjson.gz", gzip.compress(lines)[:-40_000])
    assert problem(tmp_path / "cut.ndjson.zst", zstandard.compress(lines)[:-40_000])
    assert "truncated" in problem(tmp_path / "false.ndjson.gz", b"\x1f\x8bno gzip at all")


def test_nul_bytes(tmp_path: Path) -> None:
    path = tmp_path / "nul.xml"
    path.write_text(nitf("a\x00b"))
    (story,) = stories(read(path))
    assert story.draft["body"] == "<p>ab</p>"
    assert any("control characters" in note for note in story.notes)
    assert "NUL" in problem(tmp_path / "nul.ndjson", json.dumps({**GOOD, "external_id": "n", "title": "a\x00b"}))


def test_a_line_of_fifty_megabytes(tmp_path: Path) -> None:
    path = tmp_path / "long.ndjson"
    with path.open("w") as file:
        file.write(json.dumps({**GOOD, "external_id": "before"}) + "\n")
        file.write('{"title": "' + "x" * 50_000_000 + '"}\n')
        file.write(json.dumps(GOOD) + "\n")

    number, memory, (reason,) = measured(path)
    assert number == 2
    assert f"longer than {MAX_LINE_BYTES:,} bytes" in reason
    assert memory < MOST_MEMORY


@pytest.mark.parametrize("kind", ["gz", "zst"])
def test_a_compression_bomb(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"bomb.ndjson.{kind}"
    part = b"{" * 1_000_000
    if kind == "gz":
        with gzip.open(path, "wb", compresslevel=9) as file:
            for _ in range(2000):
                file.write(part)
    else:
        with path.open("wb") as packed, zstandard.ZstdCompressor(level=3).stream_writer(packed) as writer:
            for _ in range(2000):
                writer.write(part)

    number, memory, reasons = measured(path)
    assert number == 0
    assert "times its size" in reasons[-1]
    assert memory < MOST_MEMORY


def test_a_zip_archive_is_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "bomb.xml"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", b"0" * 10_000_000)

    assert "ZIP archive" in problem(path, path.read_bytes())


@pytest.mark.parametrize("first", ["[Content_Types].xml", "_rels/.rels", "mimetype"])
def test_documents_of_office_and_exports_of_ghost_are_named(tmp_path: Path, first: str) -> None:
    path = tmp_path / "story.docx"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(first, "application/vnd.oasis.opendocument.text")
    assert "document of Office" in problem(path, path.read_bytes())
    ghost = b'{"db": [{"meta": {"exported_on": 1388805572000}, "data": {"posts": []}}]}'
    assert "export of Ghost" in problem(tmp_path / "ghost.json", ghost)


def test_a_document_over_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "large.xml"
    with path.open("wb") as file:
        file.write(b"<nitf><body>")
        file.seek(MAX_DOCUMENT_BYTES + 1)
        file.write(b" ")
    path.write_bytes(path.read_bytes().replace(b"\x00", b" "))

    number, memory, (reason,) = measured(path)
    assert number == 0
    assert "50 MB" in reason
    assert memory < MOST_MEMORY


def test_deep_nesting(tmp_path: Path) -> None:
    assert "depth" in problem(tmp_path / "deep.xml", nitf("<b>" * 100_000))
    deep = '{"external_id": "d", "title": "t", "body": ' + "[" * 100_000
    assert "is not JSON" in problem(tmp_path / "deep.ndjson", deep)
    assert "front matter" in problem(tmp_path / "deep.md", "---\ntags: " + "[" * 60_000 + "\n---\nHm")


def test_a_deeply_nested_page_is_read_or_rejected(tmp_path: Path) -> None:
    path = tmp_path / "deep.html"
    path.write_text("<!doctype html><html><body>" + "<div>" * 100_000 + "Down here" + "</div>" * 100_000)

    number, memory, reasons = measured(path)
    assert number + len(reasons) == 1
    assert memory < MOST_MEMORY


def test_billion_laughs_in_yaml(tmp_path: Path) -> None:
    anchors = "a0: &a0 [ha, ha]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12))
    path = tmp_path / "yaml.md"
    path.write_text(f"---\ntitle: Laughing\n{anchors}tags: *a11\ncategory: *a11\nauthor: *a11\n---\nHm")

    number, memory, reasons = measured(path)
    assert (number, reasons) == (1, [])
    assert memory < MOST_MEMORY


def test_yaml_creates_no_python_objects(tmp_path: Path) -> None:
    content = "---\ntitle: !!python/object/apply:os.system ['true']\n---\nHm"
    assert "front matter is not valid YAML" in problem(tmp_path / "object.md", content)


def test_a_binary_file_and_an_empty_one(tmp_path: Path) -> None:
    assert "binary file" in problem(tmp_path / "picture.json", b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 10)
    assert "is a PDF" in problem(tmp_path / "paper.html", b"%PDF-1.7\n")
    assert "is empty" in problem(tmp_path / "nothing.xml", b" \n ")
    assert "no supported format" in problem(tmp_path / "words.json", b"just words")
    assert "root <svg>" in problem(tmp_path / "drawing.xml", b'<?xml version="1.0"?>\n<svg/>')


def test_a_folder_that_contains_itself(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "loop").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "self.ndjson").symlink_to(tmp_path / "self.ndjson")
    (tmp_path / "inner" / "good.ndjson").write_text(json.dumps(GOOD))
    os.mkfifo(tmp_path / "pipe.ndjson")

    found = read(tmp_path)
    assert [story.draft["external_id"] for story in stories(found)] == ["good"]
    assert failed_items(found) == []
    assert len(found) == 3


def test_scripts_are_never_stored(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text(
        "<!doctype html><html><head><title>Hm</title></head><body><article>"
        '<p onclick="steal()">The first paragraph is long enough to be taken for one, says everybody here.</p>'
        '<p><a href="javascript:steal()">press</a> <img src=x onerror="steal()"> and some more words for the length.</p>'
        "<script>steal()</script><iframe src='https://evil.example'></iframe></article></body></html>"
    )

    (story,) = stories(read(path))
    stored = sanitise(story.draft["body"])
    assert "first paragraph" in stored
    assert "steal" not in stored
    assert "iframe" not in stored


def test_a_huge_attribute(tmp_path: Path) -> None:
    content = nitf("x").replace('id-string="n1"', f'id-string="{"n" * 11_000_000}"')
    assert "broken XML" in problem(tmp_path / "attribute.xml", content)

    path = tmp_path / "long.xml"
    path.write_text(nitf("x").replace('id-string="n1"', f'id-string="{"n" * 1_000_000}"'))
    (story,) = stories(read(path))
    assert len(story.draft["external_id"]) == 200
    assert any("digest" in note for note in story.notes)


@pytest.mark.parametrize(
    "date", ["yesterday", "2026-13-40", "0000-01-01T00:00:00Z", "9999-12-31T23:59:59-23:00", 12, {}]
)
def test_an_invalid_date(date: Any, tmp_path: Path) -> None:
    (tmp_path / "date.ndjson").write_text(json.dumps({**GOOD, "external_id": "d", "published_at": date}))
    [story] = stories(read(tmp_path / "date.ndjson"))
    assert "published_at" not in story.draft
    assert "published at the time of the import" in story.notes[0]
    assert ("no date" if date == {} else "cannot be read") in story.notes[0]


def test_future_dates_become_embargoes(tmp_path: Path) -> None:
    path = tmp_path / "future.ndjson"
    path.write_text(json.dumps({**GOOD, "published_at": "2026-06-02T10:00:00+02:00"}))

    (story,) = stories(read(path))
    assert story.draft["embargo_until"] == "2026-06-02T08:00:00Z"
    assert "published_at" not in story.draft


def test_a_past_embargo_is_the_time_of_publication(tmp_path: Path) -> None:
    path = tmp_path / "past.ndjson"
    path.write_text(json.dumps({**GOOD, "embargo_until": "2026-03-01T08:00:00Z"}))

    (story,) = stories(read(path))
    assert story.draft["published_at"] == "2026-03-01T08:00:00Z"
    assert "embargo_until" not in story.draft


def test_the_second_article_with_one_id_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "twice.ndjson"
    path.write_text("\n".join(json.dumps({**GOOD, "title": title}) for title in ("First", "Second")))

    found = read(path)
    assert [story.draft["title"] for story in stories(found)] == ["First"]
    (fault,) = failed_items(found)
    assert (fault.line, "occurred before" in fault.reason) == (2, True)


def test_values_that_are_too_long_are_shortened_and_noted(tmp_path: Path) -> None:
    path = tmp_path / "long.ndjson"
    long = {
        **GOOD,
        "title": "word " * 100,
        "summary": "s" * 3000,
        "topics": [f"topic {n} " + "t" * 100 for n in range(60)],
        "authors": ["a" * 300],
        "language": "no language",
        "canonical_url": "ftp://x",
        "metadata": {"a": "b", "big": "x" * 5000},
    }
    path.write_text(json.dumps(long))

    (story,) = stories(read(path))
    assert len(story.draft["title"]) <= 300
    assert len(story.draft["summary"]) <= 2000
    assert len(story.draft["topics"]) == 50
    assert {len(topic) for topic in story.draft["topics"]} == {100}
    assert len(story.draft["authors"][0]["name"]) == 200
    assert story.draft["metadata"] == {"a": "b"}
    assert "language" not in story.draft
    for said in ("title", "summary", "a topic", "50 topics", "an author", "language", "canonical_url", "metadata"):
        assert any(said in note for note in story.notes), said


def test_a_blank_title_is_made_from_the_text(tmp_path: Path) -> None:
    path = tmp_path / "blank.ndjson"
    blank = {**GOOD, "title": "  ", "body": "<p>" + " ".join(f"word{n}" for n in range(30)) + "</p>"}
    path.write_text(json.dumps(blank))
    (story,) = stories(read(path))
    assert story.draft["title"].startswith("word0 word1")
    assert story.draft["title"].endswith("word11 …")
    assert any("no title" in note for note in story.notes)

    assert "neither title nor text" in problem(
        tmp_path / "nothing.ndjson", json.dumps({"id": 1, "title": "", "body": ""})
    )


def test_a_lone_surrogate(tmp_path: Path) -> None:
    content = '{"external_id": "s", "title": "half a \\ud83d face", "body": ""}'
    assert "surrogate" in problem(tmp_path / "surrogate.ndjson", content)


def test_members_of_the_wrong_kind(tmp_path: Path) -> None:
    content = (
        '{"external_id": "k", "title": ["a"], "body": 5, "topics": "x", "authors": 3, "metadata": [], "image": "u"}'
    )
    assert "title" in problem(tmp_path / "kinds.ndjson", content)
    (tmp_path / "array.ndjson").write_text("[1]")
    (fault,) = failed_items(read(tmp_path / "array.ndjson"))
    assert "not a JSON object" in fault.reason
    wrong = {"uri": 5, "headlines": "x", "bodies": [5], "subjects": {"a": 1}, "people": [{"name": {}}], "type": "text"}
    assert problem(tmp_path / "wrong.json", json.dumps(wrong), FormatName.NINJS)


def test_a_large_wordpress_export_needs_the_memory_of_one_post(tmp_path: Path) -> None:
    sample = (Path(__file__).parent / "samples" / "wordpress.xml").read_text()
    first = sample.index("<item>")
    head, item = sample[:first], sample[first : sample.index("<item>", first + 1)]
    path = tmp_path / "large.xml"
    with path.open("w") as file:
        file.write(head)
        for number in range(6000):
            file.write(item.replace("?p=41", f"?p={number}").replace("A quiet giant.", "A quiet giant. " * 500))
        file.write("</channel></rss>")
    assert path.stat().st_size > 50_000_000

    number, memory, reasons = measured(path)
    assert (number, reasons) == (6000, [])
    assert memory < MOST_MEMORY


def test_an_undeclared_namespace(tmp_path: Path) -> None:
    whole = (Path(__file__).parent / "samples" / "wordpress.xml").read_text()
    path = tmp_path / "undeclared.xml"
    path.write_text(whole.replace('xmlns:wp="http://wordpress.org/export/1.2/"', ""))

    found = read(path)
    assert failed_items(found) == []
    assert [story.line for story in stories(found)] == [21, 77]
    assert all(any("prefix wp" in note for note in story.notes) for story in stories(found))
