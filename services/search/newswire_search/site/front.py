"""The front page: which article leads, and which section shows which articles."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from newswire.text.folding import fold
from newswire_search.site.navigation import Section
from newswire_search.site.presentation import Teaser

HOURS_PER_URGENCY = 4.0
"""How many hours an article may be older for each step that it is more urgent (1 to 9; 5 if the publisher says nothing)."""
HOURS_FOR_AN_IMAGE = 2.0
CANDIDATES = 20
"""Of the newest articles, those that may lead."""
TOP_ARTICLES = 4
ARTICLES_PER_SECTION = 4
MIN_ARTICLES_PER_SECTION = 2


@dataclass(frozen=True, slots=True)
class SectionGroup:
    """The articles of one section on the front page."""

    name: str
    articles: Sequence[Teaser]


@dataclass(frozen=True, slots=True)
class FrontPage:
    """The articles of the front page, each once."""

    lead: Teaser | None = None
    top: Sequence[Teaser] = ()
    groups: Sequence[SectionGroup] = field(default_factory=list)
    more: Sequence[Teaser] = ()


def arrange(newest: Sequence[Teaser], sections: Sequence[Section]) -> FrontPage:
    """Arrange the newest articles: urgent ones and those with an image first, then by section, then all others."""
    if not newest:
        return FrontPage()
    ranked = sorted(newest[:CANDIDATES], key=_rank)
    lead, *top = ranked[: TOP_ARTICLES + 1]
    shown = {lead.id, *(each.id for each in top)}
    rest = [each for each in newest if each.id not in shown]
    groups = []
    for section in sections:
        of_section = [each for each in rest if each.category and fold(each.category) == fold(section.name)]
        if len(of_section) >= MIN_ARTICLES_PER_SECTION:
            groups.append(SectionGroup(section.name, of_section[:ARTICLES_PER_SECTION]))
    shown |= {each.id for group in groups for each in group.articles}
    return FrontPage(lead, top, groups, [each for each in rest if each.id not in shown])


def _rank(article: Teaser) -> float:
    """Return the publication time in hours, corrected by urgency and image, so that the first has the lowest value."""
    bonus = (5 - article.urgency) * HOURS_PER_URGENCY + (HOURS_FOR_AN_IMAGE if article.image else 0)
    return -(article.published.timestamp() / 3600 + bonus)
