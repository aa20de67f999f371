"""Articles not published by their source are not imported: drafts, private, scheduled, expired and withdrawn ones, and notes."""

from pathlib import Path
from typing import Any

import pytest

from newswire_ingest.importing.models import SkippedItem, SourceArticle, SourceItem
from tests.cli.importing.readers import read, stories

NITF = """<nitf><head><docdata {status}><doc-id id-string="tide-1"/>{docdata}</docdata></head><body><body.head>
<hedline><hl1>Sluice gates open</hl1></hedline><note><body.content><p>INTERNAL: ask the keeper.</p></body.content></note>
</body.head><body.content><p>Water fell<note><p>INTERNAL again</p></note> by two metres.</p></body.content></body></nitf>"""


def one(path: Path, content: str) -> SourceItem:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    [found] = read(path if path.parent.name != "_drafts" else path.parent.parent)
    return found


def story(path: Path, content: str) -> SourceArticle:
    found = one(path, content)
    assert isinstance(found, SourceArticle), found
    return found


def front(*lines: str) -> str:
    return "\n".join(("---", "title: Quarterly figures", *lines, "---", "Text."))


@pytest.mark.parametrize(
    "line",
    [
        *(
            "draft: true",
            'draft: "true"',
            "draft: yes",
            'draft: "1"',
            "status: draft",
            "status: Draft",
            "published: false",
        ),
        *(
            'published: "false"',
            "publish: no",
            "status: private",
            "status: pending",
            "status: hidden",
            "Status: future",
        ),
        *("visibility: private", "visibility: members", "password: abc", "private: true", "unlisted: true"),
        *("headless: true", "permalink: false", "build: {render: never}", "_build: {render: false}"),
        *("expiryDate: 2020-01-01", "publishDate: when the board agrees"),
    ],
)
def test_markdown_that_is_not_public_is_skipped(tmp_path: Path, line: str) -> None:
    assert isinstance(one(tmp_path / "figures.md", front(line)), SkippedItem)


def test_a_toml_draft_and_jekyll_s_folder_of_drafts_are_skipped(tmp_path: Path) -> None:
    assert isinstance(one(tmp_path / "a.md", '+++\ntitle = "A"\ndraft = "true"\n+++\nText.'), SkippedItem)
    assert isinstance(one(tmp_path / "site" / "_drafts" / "b.md", front()), SkippedItem)


@pytest.mark.parametrize(
    "line", ["publishDate: 2031-02-01T06:00:00Z", "date: 2031-02-01T06:00:00Z", "embargo: 2031-02-01 06:00:00 +0000"]
)
def test_markdown_with_a_future_publish_date_gets_an_embargo(tmp_path: Path, line: str) -> None:
    draft = story(tmp_path / "figures.md", front(line)).draft
    assert draft["embargo_until"] == "2031-02-01T06:00:00Z"


@pytest.mark.parametrize(
    ("name", "lines", "expected"),
    [
        ("2024-01-15-figures.md", (), "2024-01-15T00:00:00Z"),
        ("2024-1-5-figures.md", (), "2024-01-05T00:00:00Z"),
        ("2024-01-15-figures.md", ("date: 2024-02-03",), "2024-02-03T00:00:00Z"),
        ("2024-01-15-figures.md", ("date: Invalid Date",), "2024-01-15T00:00:00Z"),
        ("figures.md", ("date: 2024-1-5",), "2024-01-05T00:00:00Z"),
        ("figures.md", ("date: 5 janvier 2024",), "2024-01-05T00:00:00Z"),
        ("figures.md", ("path: 2024/01/15/figures",), "2024-01-15T00:00:00Z"),
        ("figures.md", ("permalink: /blog/2024/1/5/figures.html", "lastmod: 2025-01-01"), "2024-01-05T00:00:00Z"),
        ("figures.md", ("url: /2024/13/45/figures", "updated: 2025-01-01"), "2025-01-01T00:00:00Z"),
        ("figures.md", ("path: 2024/01/15/figures", "date: 2023-05-06"), "2023-05-06T00:00:00Z"),
    ],
)
def test_markdown_uses_the_best_available_date(
    tmp_path: Path, name: str, lines: tuple[str, ...], expected: str
) -> None:
    assert story(tmp_path / name, front(*lines)).draft["published_at"] == expected


@pytest.mark.parametrize(
    "name", ["2024-01-15-figures/index.md", "blog/2024/01/15/figures.md", "2024/1/15/figures/_index.md"]
)
def test_markdown_takes_its_date_from_a_dated_folder(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.parent.mkdir(parents=True)
    path.write_text(front())

    (found,) = read(tmp_path)
    assert isinstance(found, SourceArticle)
    assert found.draft["published_at"] == "2024-01-15T00:00:00Z"


@pytest.mark.parametrize(
    ("lines", "labels"),
    [
        (("categories: harbour boats", "tags: ferry tide"), ["harbour", "boats", "ferry", "tide"]),
        (("category: Machine Learning", "tags: Deep Water"), ["Machine Learning", "Deep Water"]),
        (("layout: post", "tags: Ferry Tide"), [None, "Ferry", "Tide"]),
        (("categories: [harbour, Old Town]", "tags: a, Big Ship"), ["harbour", "Old Town", "a", "Big Ship"]),
    ],
)
def test_lists_of_words_and_names_are_distinguished(tmp_path: Path, lines: tuple[str, ...], labels: list[str]) -> None:
    draft = story(tmp_path / "figures.md", front(*lines)).draft
    assert [draft.get("category"), *draft.get("topics", [])] == labels


def test_tags_of_site_generators_are_removed_with_a_note_and_their_text_is_kept(tmp_path: Path) -> None:
    text = """---
title: Tags
---
Before {{< figure src="https://pier.example/a.jpg" caption="The pier" >}} and {{% notice %}}inside{{% /notice %}} after.

{{< youtube abc123 >}} {% include share.html %} {{ site.title }}

{% highlight python %}
print("{{ kept }}")
{% endhighlight %}

`{{< shown >}}` and {{</* shown-too */>}} and {% raw %}{{ raw }}{% endraw %}

```
{{< in-a-fence >}}
```

![Relative](img/pier.jpg) [map](../map)
"""
    found = story(tmp_path / "tags.md", text)
    body = found.draft["body"]
    for kept in ("https://pier.example/a.jpg", "The pier", "inside", "youtube.com/watch?v=abc123", "kept }}", "shown"):
        assert kept in body
    for kept in ("shown-too", "{{ raw }}", "in-a-fence", "Before", "after.", "map"):
        assert kept in body
    for gone in ("notice", "include share", "site.title", "endhighlight", "img/pier.jpg"):
        assert gone not in body
    remarks = " ".join(found.notes)
    for named in ("notice", "include", "site.title", "image"):
        assert named in remarks


def test_an_unclosed_tag_loses_no_text(tmp_path: Path) -> None:
    found = story(tmp_path / "open.md", front() + "\n{{< figure src=\n\n{% if\n\nThe end.\n" + "{{<" * 20_000)
    assert "The end." in found.draft["body"]


def test_notes_to_editors_are_not_published(tmp_path: Path) -> None:
    draft = story(tmp_path / "a.xml", NITF.format(status="", docdata='<date.issue norm="20240115"/>')).draft
    assert draft["body"] == "<p>Water fell by two metres.</p>"
    assert "INTERNAL" not in str(draft)


@pytest.mark.parametrize(
    ("status", "docdata"),
    [
        ('management-status="withheld"', ""),
        ('management-status="canceled"', '<date.release norm="20240115T100000Z"/>'),
        ('management-status="embargoed"', ""),
        ('management-status="embargoed"', '<date.release norm="YYYYMMDD"/><date.issue norm="20240115T100000Z"/>'),
        ("", '<date.expire norm="20240115T100000Z"/>'),
    ],
)
def test_nitf_that_is_not_usable_is_skipped(tmp_path: Path, status: str, docdata: str) -> None:
    assert isinstance(one(tmp_path / "a.xml", NITF.format(status=status, docdata=docdata)), SkippedItem)


def test_nitf_with_a_release_date_gets_an_embargo(tmp_path: Path) -> None:
    said = '<date.issue norm="20240115T100000Z"/><date.release norm="20310115T100000+0100"/>'
    for status in ('management-status="embargoed"', ""):
        draft = story(tmp_path / "a.xml", NITF.format(status=status, docdata=said)).draft
        assert draft["embargo_until"] == "2031-01-15T09:00:00Z"


def test_nitf_without_an_id_is_identified_by_its_path(tmp_path: Path) -> None:
    found = story(
        tmp_path / "a.xml", "<nitf><body><body.head><hedline><hl1>A</hl1></hedline></body.head></body></nitf>"
    )
    assert found.draft["external_id"] == "a"
    assert any("its path identifies it" in note for note in found.notes)


def test_nitf_without_a_body_content_keeps_its_text(tmp_path: Path) -> None:
    text = "<nitf><body><body.head><hedline><hl1>A</hl1></hedline></body.head><p>Kept.</p><body.end/></body></nitf>"
    assert story(tmp_path / "a.xml", text).draft["body"] == "<p>Kept.</p>"


def ninjs(path: Path, **members: Any) -> SourceItem:
    import json

    item = {"type": "text", "pubstatus": "usable", "headline": "Locks reopen", "body_html": "<p>They did.</p>"}
    return one(path, json.dumps({**item, **members}))


def test_ninjs_is_identified_by_uri_guid_or_path(tmp_path: Path) -> None:
    for members, identity in (
        ({"uri": "urn:a"}, "urn:a"),
        ({"guid": "urn:b"}, "urn:b"),
        ({"uri": None, "guid": "urn:c"}, "urn:c"),
    ):
        found = ninjs(tmp_path / "locks.json", **members)
        assert isinstance(found, SourceArticle)
        assert found.draft["external_id"] == identity


@pytest.mark.parametrize(
    "members",
    [
        {"pubstatus": "withheld"},
        {"pubstatus": "canceled"},
        {"type": "event"},
        {"type": "planning"},
        {"type": "picture"},
        {"type": None, "body_html": None},
        {"embargoed": "until the minister has spoken"},
        {"expires": "2020-01-01T00:00:00Z"},
    ],
    ids=str,
)
def test_unpublished_ninjs_is_skipped(tmp_path: Path, members: dict[str, Any]) -> None:
    assert isinstance(ninjs(tmp_path / "locks.json", uri="urn:a", **members), SkippedItem)


def test_markup_in_plain_inline_data_of_newsml_is_read_as_markup(tmp_path: Path) -> None:
    item = """<newsItem xmlns="http://iptc.org/std/nar/2006-10-01/" guid="urn:a" version="1"><itemMeta>
<itemClass qcode="ninat:text"/><versionCreated>{date}</versionCreated><pubStatus qcode="stat:usable"/></itemMeta>
<contentMeta><headline>Lamp</headline></contentMeta><contentSet><inlineData contenttype="text/plain">{text}</inlineData>
</contentSet></newsItem>"""
    for text, body in (
        ("<![CDATA[<p>The lamp was lit.</p>]]>", "<p>The lamp was lit.</p>"),
        ("One.\n\nTwo &amp; <![CDATA[<3>]]>", "<p>One.</p><p>Two &amp; &lt;3&gt;</p>"),
    ):
        found = story(tmp_path / "a.xml", item.format(date="not a date", text=text))
        assert found.draft["body"] == body
        assert any("published at the time of the import" in note for note in found.notes)


@pytest.mark.parametrize("members", [{"status": "draft"}, {"status": "private"}, {"draft": True}, {"published": False}])
def test_lines_of_articles_that_are_not_public_are_skipped(tmp_path: Path, members: dict[str, Any]) -> None:
    import json

    line = json.dumps({"id": "a", "title": "A", "body": "B", **members})
    assert isinstance(one(tmp_path / "a.ndjson", line + "\n"), SkippedItem)


@pytest.mark.parametrize(
    "line", ["date: 2026-03-05T09:80:00Z", "date: 2026-02-30", "weight: " + "9" * 5000, "score: ._"]
)
def test_invalid_dates_and_numbers_in_front_matter_do_not_fail_the_article(tmp_path: Path, line: str) -> None:
    path = tmp_path / "a.md"
    path.write_text(f"---\ntitle: T\n{line}\nlastmod: 2026-01-02\n---\nText.")
    (story,) = stories(read(path))
    assert story.draft["published_at"] == "2026-01-02T00:00:00Z"
