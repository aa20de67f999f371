"""Which article leads the front page, and where all others are."""

from typing import Any

from newswire_search.site.front import FrontPage, arrange
from newswire_search.site.navigation import Section
from newswire_search.site.presentation import Teaser, teaser
from tests.search.samples import article

SECTIONS = [Section("Sea", "/sections/Sea"), Section("Town", "/sections/Town")]
IMAGE = {"url": "http://x.example/a.jpg", "width": 3, "height": 2}


def at(id_: str, hour: int, **more: Any) -> Teaser:
    time = f"2026-03-01T{hour:02}:00:00Z"
    made = article(id_, published_at=time, updated_at=time, **more)
    return teaser(made.model_dump(mode="json", exclude_none=True))


def everything(page: FrontPage) -> list[str]:
    lead = [page.lead] if page.lead else []
    grouped = [each for group in page.groups for each in group.articles]
    return [each.id for each in (*lead, *page.top, *grouped, *page.more)]


def test_the_newest_leads_unless_another_is_more_urgent_or_has_an_image() -> None:
    newest, older = at("new", 12), at("old", 10)
    assert arrange([newest, older], []).lead == newest
    urgent = at("urgent", 9, urgency=4)
    assert arrange([newest, older, urgent], []).lead == urgent
    pictured = at("pictured", 11, image=IMAGE)
    assert arrange([newest, pictured, older], []).lead == pictured
    unimportant = at("unimportant", 13, urgency=9, image=IMAGE)
    assert arrange([unimportant, newest], []).lead == newest


def test_each_article_is_shown_once() -> None:
    categories = ["Sea", "TOWN", None, "Elsewhere"]
    newest = [at(f"a{n:02}", 23 - n // 2, **({"category": c} if (c := categories[n % 4]) else {})) for n in range(40)]
    page = arrange(newest, SECTIONS)
    assert sorted(everything(page)) == [f"a{n:02}" for n in range(40)]
    assert [(group.name, len(group.articles)) for group in page.groups] == [("Sea", 4), ("Town", 4)]


def test_a_section_with_one_article_has_no_row_of_its_own() -> None:
    newest = [at(f"a{n}", 20 - n, category="Sea" if n == 7 else "Town") for n in range(9)]
    assert [group.name for group in arrange(newest, SECTIONS).groups] == ["Town"]


def test_without_articles_there_is_no_lead() -> None:
    assert arrange([], SECTIONS) == FrontPage()
    assert everything(arrange([at("a1", 1)], SECTIONS)) == ["a1"]


def test_images_are_shown_by_https() -> None:
    shown = at("a1", 1, image=IMAGE).image
    assert shown is not None
    assert shown.url == "https://x.example/a.jpg"
