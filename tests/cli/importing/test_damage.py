"""Reading any damaged file yields articles, skipped items or failed items, and never raises an unexpected error."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from newswire.article import ArticleDraft
from newswire_ingest.importing.format_names import FormatName
from tests.cli.importing.readers import SAMPLES, read, stories
from tests.fuzz import importers

ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.floats(allow_nan=False, allow_infinity=False),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(max_size=5), inside, max_size=3),
    max_leaves=6,
)
MANY = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
FULL = {
    **dict.fromkeys(ArticleDraft.model_fields, "x"),
    "authors": [{"name": "A", "url": "https://a.example"}],
    "topics": ["t"],
    "image": {"url": "https://a.example/i.jpg", "alt": "a"},
    "metadata": {"a": "b"},
    "published_at": "2026-01-01T00:00:00Z",
    "status": "published",
    "id": 5,
}
PAGE = {
    "@type": "NewsArticle",
    "headline": "H",
    "author": [{"name": "A", "url": "u"}],
    "keywords": ["k"],
    "articleSection": ["s"],
    "image": [{"url": "i"}],
    "datePublished": "2026-01-01",
    "articleBody": "Text",
    "description": "d",
    "inLanguage": "en",
    "url": "https://a.example/x",
}


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield all members and items, however deep."""
    steps = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for step in steps:
        yield value, step
        yield from places(value[step])


def damaged(data: st.DataObject, value: Any) -> Any:
    """Replace one random member or item by another value."""
    holder, step = data.draw(st.sampled_from(list(places(value))))
    holder[step] = data.draw(ANY_JSON)
    return value


def reads_whatever_it_is(path: Path, content: bytes, form: FormatName) -> None:
    path.write_bytes(content)
    found = read(path, form=form)
    assert found, "something is always said of a file"
    for story in stories(found):
        ArticleDraft.model_validate(story.draft)


@MANY
@given(data=st.data())
def test_ninjs(data: st.DataObject, tmp_path: Path) -> None:
    name = data.draw(st.sampled_from(["ninjs2.json", "ninjs3.json"]))
    item = damaged(data, json.loads((SAMPLES / name).read_text()))
    reads_whatever_it_is(tmp_path / "item.json", json.dumps(item).encode(), FormatName.NINJS)


@MANY
@given(data=st.data())
def test_ndjson(data: st.DataObject, tmp_path: Path) -> None:
    article = damaged(data, json.loads(json.dumps(FULL)))
    reads_whatever_it_is(tmp_path / "article.ndjson", json.dumps(article).encode(), FormatName.NDJSON)


@MANY
@given(data=st.data())
def test_json_ld(data: st.DataObject, tmp_path: Path) -> None:
    linked = json.dumps(damaged(data, json.loads(json.dumps(PAGE)))).replace("<", "\\u003c")
    page = (
        f'<html><head><script type="application/ld+json">{linked}</script></head><body><p>Words here.</p></body></html>'
    )
    reads_whatever_it_is(tmp_path / "page.html", page.encode(), FormatName.HTML)


@MANY
@given(data=st.data())
def test_front_matter(data: st.DataObject, tmp_path: Path) -> None:
    members = {
        "title": "T",
        "date": "2026-01-01",
        "authors": ["A"],
        "tags": ["t"],
        "id": "x",
        "image": "i",
        "lang": "en",
    }
    members = damaged(data, members)
    reads_whatever_it_is(
        tmp_path / "a.md", b"---\n" + json.dumps(members).encode() + b"\n---\nText", FormatName.MARKDOWN
    )


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("wordpress.xml", FormatName.WORDPRESS),
        ("rss.xml", FormatName.FEED),
        ("atom.xml", FormatName.FEED),
        ("nitf.xml", FormatName.NITF),
        ("newsml.xml", FormatName.NEWSML),
        ("page.html", FormatName.HTML),
        ("seen.html", FormatName.HTML),
        ("garden/roses.md", FormatName.MARKDOWN),
    ],
)
@MANY
@given(data=st.data())
def test_removed_or_repeated_bytes(data: st.DataObject, name: str, form: FormatName, tmp_path: Path) -> None:
    content = (SAMPLES / name).read_bytes()
    start = data.draw(st.integers(0, len(content)))
    end = data.draw(st.integers(start, min(len(content), start + 200)))
    again = data.draw(st.integers(0, 2)) * content[start:end]
    reads_whatever_it_is(tmp_path / "file", content[:start] + again + content[end:], form)
    reads_whatever_it_is(tmp_path / "file", content, data.draw(st.sampled_from(list(FormatName))))


SPLINTERS = (
    *(
        b"<",
        b">",
        b"&",
        b"]]>",
        b"<![CDATA[",
        b"<!--",
        b"-->",
        b"\x00",
        b"\xff",
        b"\xe9",
        b"\xed\xa0\xbd",
        b"&#0;",
        b"&#xD800;",
    ),
    *(b"&nbsp;", b"<item>", b"</item>", b"<entry ", b"</channel>", b'"', b"[gallery", b'[x a="1"]', b"[/x]", b"<?xml "),
    *(b"<!DOCTYPE x [", b"xmlns:q=", b"<pre>", b"\n\n", b'<a href="//[">', b"xml:base='http://['", b"{", b"\\u"),
    b"<script type='application/ld+json'>[{",
)


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("wordpress.xml", FormatName.WORDPRESS),
        ("rss.xml", FormatName.FEED),
        ("atom.xml", FormatName.FEED),
        ("rdf.xml", FormatName.FEED),
        ("page.html", FormatName.HTML),
    ],
)
@MANY
@given(
    splinters=st.lists(
        st.tuples(st.floats(0, 1), st.sampled_from(SPLINTERS), st.sampled_from([1, 2, 50])), min_size=1, max_size=8
    )
)
def test_inserted_fragments_of_markup(
    splinters: list[tuple[float, bytes, int]], name: str, form: FormatName, tmp_path: Path
) -> None:
    content = (SAMPLES / name).read_bytes()
    for place, splinter, times in splinters:
        at = int(place * len(content))
        content = content[:at] + splinter * times + content[at:]
    reads_whatever_it_is(tmp_path / "file", content, form)


def test_articles_next_to_damage_are_not_lost_silently() -> None:
    """`make fuzz-importers` does this for ten minutes."""
    assert importers.main(["--minutes", "0.05", "--seed", "5"]) == 0
