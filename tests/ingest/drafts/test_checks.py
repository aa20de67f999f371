"""Remarks on drafts, and how they will look."""

from tests.ingest.drafts.conftest import TEXT, Drafts

BODY = (
    '<h4>Deep</h4><p><a href="https://">nowhere</a> <a href="mailto:desk@harbour.example">mail</a>'
    ' <a href="https://harbour.example/a">there</a></p><img src="https://harbour.example/a.png">'
)


async def codes(drafts: Drafts, draft: dict[str, object]) -> set[str]:
    response = await drafts.send("GET", f"/drafts/{draft['id']}/checks")
    assert response.status_code == 200, response.text
    return {f"{each['level']} {each['code']} {each['member']}" for each in response.json()["remarks"]}


async def test_a_sound_draft_has_no_remarks(drafts: Drafts) -> None:
    draft = await drafts.create(content=TEXT | {"summary": "Trams too.", "body": f"{TEXT['body']}<h2>Trams</h2>"})
    assert await codes(drafts, draft) == set()


async def test_remarks_name_the_member(drafts: Drafts) -> None:
    image = {"url": "https://harbour.example/a.png"}
    draft = await drafts.create(content={"title": "Long " * 30, "body": BODY, "image": image})
    assert await codes(drafts, draft) == {
        "warning long_headline title",
        "warning missing_category category",
        "warning missing_summary summary",
        "warning missing_image_alt image.alt",
        "warning missing_alt body",
        "warning heading_order body",
        "warning broken_link body",
    }
    empty = await drafts.create(content={"canonical_url": "https:/"})
    assert {"error invalid title", "error invalid canonical_url", "warning missing_body body"} <= await codes(
        drafts, empty
    )
    nested = await drafts.create(content={"title": "Nested", "body": "<div>" * 1000})
    assert await codes(drafts, nested) == {"error invalid body"}


async def test_an_article_with_nearly_the_same_title_is_named(drafts: Drafts) -> None:
    await drafts.send("POST", "/articles", TEXT | {"title": "The harbour bridge reopens today!"})
    draft = await drafts.create(content=TEXT | {"summary": "s", "title": "Harbour bridge reopens: the today"})
    assert await codes(drafts, draft) == {"warning duplicate title"}
    done = await drafts.act(
        await drafts.create(content=TEXT | {"title": "Nothing else like it", "summary": "s"}), "publish"
    )
    assert await codes(drafts, done["draft"]) == set(), "an article is no duplicate of itself"


async def test_a_preview_is_the_article_as_far_as_it_is_one(drafts: Drafts) -> None:
    content = TEXT | {"body": "<p onclick=x>Text</p><script>bad()</script>", "canonical_url": "https:/", "urgency": 3}
    draft = await drafts.create(content=content)
    shown = (await drafts.send("GET", f"/drafts/{draft['id']}/preview")).json()
    assert (shown["body"], shown["title"], shown["urgency"]) == ("<p>Text</p>", TEXT["title"], 3)
    assert "canonical_url" not in shown
    assert shown["url"].startswith("https://news.example/articles/")
    empty = await drafts.create(content={})
    assert (await drafts.send("GET", f"/drafts/{empty['id']}/preview")).json()["title"] == "…"
    assert await drafts.ingest.events() == []
