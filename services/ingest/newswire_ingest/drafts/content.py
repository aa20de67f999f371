"""The text of a draft: the members of an article, all optional, and as loose as a text that is being written."""

from datetime import datetime
from typing import Annotated, Any

import orjson
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from newswire.article import ArticleDraft
from newswire.storage.article_records import ArticleState
from newswire.validation.fields import Flag, Text
from newswire_ingest.articles.errors import InvalidDraftError
from newswire_ingest.content.content import draft_members

MAX_CONTENT_BYTES = 1024 * 1024
"""The size of a draft's text, as JSON. A request of the API is not larger either."""
Line = Annotated[Text, StringConstraints(max_length=2000)]
Prose = Annotated[Text, StringConstraints(max_length=10_000)]


class DraftAuthorName(BaseModel):
    """An author of the article, perhaps without a name yet."""

    model_config = ConfigDict(extra="forbid")

    name: Line = ""
    url: Line | None = None


class DraftImage(BaseModel):
    """The lead image, perhaps without an address yet."""

    model_config = ConfigDict(extra="forbid")

    url: Line = ""
    alt: Prose | None = None
    caption: Prose | None = None
    credit: Line | None = None
    width: int | None = None
    height: int | None = None


class DraftContent(BaseModel):
    """The text of a draft. Only its size and its types are checked; publishing checks the rest, as for every article.

    When an article is published is no part of its text: the act says so.
    """

    model_config = ConfigDict(extra="forbid")

    title: Line = ""
    body: Text = ""
    summary: Prose | None = None
    authors: Annotated[list[DraftAuthorName], Field(max_length=50)] = []
    category: Line | None = None
    topics: Annotated[list[Line], Field(max_length=50)] = []
    language: Line | None = None
    published_at: Line | None = None
    external_id: Line | None = None
    canonical_url: Line | None = None
    image: DraftImage | None = None
    urgency: int | None = None
    metadata: Annotated[dict[Line, Prose], Field(max_length=200)] = {}
    correction_note: Prose | None = None
    silent: Flag = False
    source_version: int | None = None


def to_json(content: DraftContent) -> bytes:
    """Return the stored form of a text: equal texts have equal forms."""
    return orjson.dumps(content.model_dump(mode="json", exclude_defaults=True), option=orjson.OPT_SORT_KEYS)


def article_draft(content: DraftContent, **instructions: Any) -> ArticleDraft:
    """Return the article that a text is to become. Empty members are left out. ``instructions`` replace members.

    Raises:
        InvalidDraftError: it is not an article yet; the error names the members.
    """
    members = content.model_dump(mode="json", exclude_defaults=True)
    members["topics"] = [topic for topic in content.topics if topic.strip()]
    members["authors"] = [
        {name: value for name, value in author.items() if value} for author in members.get("authors", [])
    ]
    members["authors"] = [author for author in members["authors"] if author]
    if content.image is not None:
        image = {name: value for name, value in members["image"].items() if value not in ("", None)}
        members["image"] = image or None
    found = {name: value for name, value in (members | instructions).items() if value not in ("", None)}
    try:
        return ArticleDraft.model_validate({"title": "", "body": ""} | found)
    except ValidationError as error:
        raise InvalidDraftError(error) from None


def content_of_article(state: ArticleState, document: bytes) -> DraftContent:
    """Return the text of an article, to be changed."""
    members = draft_members(orjson.loads(document))
    if state.version or members.get("published_at") == state.embargo_until:
        members.pop("published_at", None)  # it is kept, or follows the embargo
    members.pop("correction_note", None)  # a new correction needs a note of its own
    return DraftContent.model_validate({name: value for name, value in members.items() if name in _MEMBERS})


def parse_content(stored: bytes) -> DraftContent:
    """Read a stored text. Members of a newer release are ignored."""
    members = orjson.loads(stored)
    return DraftContent.model_validate({name: value for name, value in members.items() if name in _MEMBERS})


def due_instructions(due: datetime | None, *, lifted: bool = False) -> dict[str, Any]:
    """Return the instructions of an article that is to be published at a time."""
    if due is None:
        return {}
    return {"embargo_until": due} | ({"embargo_lifted": True} if lifted else {})


_MEMBERS = frozenset(DraftContent.model_fields)
