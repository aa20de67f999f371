"""A hundred thousand unclosed openings are searched once: the time to read a file is proportional to its size."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from newswire_ingest.importing import reader as reading
from newswire_ingest.importing import time_limit
from newswire_ingest.importing.format_names import FormatName
from newswire_ingest.importing.input_files import InputFile
from newswire_ingest.importing.models import SourceItem
from tests.cli.importing.readers import failed_items, read, stories
from tests.fuzz.importers import wordpress

SIZE = 400_000
"""In characters. If each opening is followed to the end of the text, this takes minutes."""

pytestmark = pytest.mark.timeout(60)


@pytest.mark.parametrize(
    "opened",
    [
        "<pre>",
        "<script>",
        "<code>",
        "<!--",
        "<![CDATA[",
        "<!-- wp:x {",
        "<figcaption",
        " ",
        "a<br>\n",
        "[a b='",
        "\n \n",
    ],
)
def test_a_post(opened: str, tmp_path: Path) -> None:
    made = wordpress().content.decode()
    path = tmp_path / "file.xml"
    path.write_text(made.replace("<p>The ", f"<p>The {opened * (SIZE // len(opened))}", 1))
    assert len(stories(read(path, form=FormatName.WORDPRESS))) >= 5


@pytest.mark.parametrize("opened", ["{% highlight x %}", "{% raw %}", "```\n{{", "~~~~\n{{", "`{{", "{{<"])
def test_markdown(opened: str, tmp_path: Path) -> None:
    path = tmp_path / "file.md"
    path.write_text(f"---\ntitle: T\n---\n{opened * (SIZE // 4 // len(opened))}")
    assert [story.draft["title"] for story in stories(read(path, form=FormatName.MARKDOWN))] == ["T"]


@pytest.mark.parametrize("opened", ["/*", '"', ", ", "[", "-->" + " " * 50])
def test_json_ld(opened: str, tmp_path: Path) -> None:
    path = tmp_path / "file.html"
    script = f'{{"headline": "H", {opened * (SIZE // len(opened))}'
    path.write_text(
        f"<html><head><title>T</title><script type='application/ld+json'>{script}</script></head>"
        "<body><article><p>The ferry left the quay on time.</p></article></body></html>"
    )
    assert len(stories(read(path, form=FormatName.HTML))) == 1


def test_a_page_that_takes_minutes_to_parse_does_not_affect_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time_limit, "MAX_ARTICLE_PROCESSOR_SECONDS", 2)
    bad, good = tmp_path / "bad.html", tmp_path / "good.html"
    page = "<html><head><title>T</title>{}</head><body><article><p>The ferry left the quay on time.</p></article></body></html>"
    script = f'<script type=\'application/ld+json\'>{{"headline": "H", {"<!--" * (SIZE // 4)}</script>'
    bad.write_text(page.format(script))
    good.write_text(page.format(""))

    found = read(bad, good, form=FormatName.HTML)
    assert (
        len(stories(found)) + len(failed_items(found)) == 2
    )  # a library may catch the exception as an error of its own
    assert str(good) in [story.file for story in stories(found)]


def test_an_item_over_the_time_limit_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def endless(_source: InputFile) -> Iterator[SourceItem]:
        for _ in itertools.count():
            pass
        yield from ()

    monkeypatch.setattr(time_limit, "MAX_ARTICLE_PROCESSOR_SECONDS", 0.2)
    monkeypatch.setattr(reading, "format_reader", lambda _format: endless)
    (tmp_path / "file.xml").write_text("<rss/>")
    (fault,) = failed_items(read(tmp_path / "file.xml", form=FormatName.FEED))
    assert "seconds of processor time" in fault.reason
