"""The article: drafts as publishers send them, and published versions."""

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    field_validator,
    model_validator,
)

from newswire.media import ArticleImage
from newswire.text.folding import fold_label
from newswire.validation.fields import (
    METADATA_LIMIT,
    WHOLE,
    ExternalId,
    Flag,
    Headline,
    Label,
    LanguageTag,
    LongNote,
    MetadataName,
    MetadataValue,
    Moment,
    Name,
    Note,
    Text,
    Url,
)
from newswire.validation.rules import broken_rule

FUTURE_TOLERANCE = timedelta(minutes=5)
PAST_TOLERANCE = timedelta(minutes=5)
"""An embargo that ended at most this long ago is accepted: it ended during the request."""


class Status(StrEnum):
    """The status of an article."""

    SCHEDULED = "scheduled"
    PUBLISHED = "published"
    RETRACTED = "retracted"


class Author(BaseModel):
    """Who wrote an article, as readers see it under "Posted by"."""

    model_config = ConfigDict(extra="allow")

    name: str
    url: str | None = None


class AuthorDraft(Author):
    """An author as a publisher sends it."""

    model_config = ConfigDict(extra="forbid")

    name: Name
    url: Url | None = None


class Image(BaseModel):
    """The article's lead image."""

    model_config = ConfigDict(extra="allow")

    url: str
    alt: str | None = None
    caption: str | None = None
    credit: str | None = None
    width: int | None = None
    height: int | None = None


class ImageDraft(Image):
    """A lead image as a publisher sends it; sizes in pixels."""

    model_config = ConfigDict(extra="forbid")

    url: Url
    alt: Note | None = None
    caption: Note | None = None
    credit: Annotated[Note, StringConstraints(max_length=300)] | None = None
    width: Annotated[int, Field(ge=1, le=100_000), WHOLE] | None = None
    height: Annotated[int, Field(ge=1, le=100_000), WHOLE] | None = None


def _author(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


AuthorInput = Annotated[AuthorDraft, BeforeValidator(_author, json_schema_input_type=Name | AuthorDraft)]


def _describe_draft(schema: dict[str, Any]) -> None:
    """Add an example to the JSON Schema, and ``author``, an alternative to ``authors`` with one item."""
    schema["examples"] = [
        {
            "title": "Ferries sail again",
            "body": "<p>The first ferry left the harbour at six.</p>",
            "author": "Ann Lee",
            "category": "Transport",
            "topics": ["Ferries"],
            "language": "en",
        }
    ]
    one = {"description": "The only author; an alternative to `authors`."} | schema["properties"]["authors"]["items"]
    schema["properties"]["author"] = one
    schema["not"] = {"required": ["author", "authors"], "properties": {"author": {}, "authors": {}}}


class ArticleDraft(BaseModel):
    """What a publisher sends. Lengths are in characters; ``body`` is HTML and is sanitised before it is stored."""

    model_config = ConfigDict(extra="forbid", json_schema_extra=_describe_draft)

    title: Headline
    body: Text
    summary: LongNote | None = None
    authors: Annotated[list[AuthorInput], Field(max_length=50)] = []
    category: Label | None = None
    topics: Annotated[list[Label], Field(max_length=50)] = []
    language: LanguageTag | None = None
    published_at: Moment | None = None
    external_id: ExternalId | None = None
    canonical_url: Url | None = None
    image: ImageDraft | None = None
    urgency: Annotated[int, Field(ge=1, le=9), WHOLE] | None = None
    metadata: dict[MetadataName, MetadataValue] = Field(default_factory=dict, json_schema_extra={"default": {}})
    correction_note: LongNote | None = None
    embargo_until: Moment | None = None
    embargo_lifted: Flag = False
    """Confirms a past ``embargo_until``: the embargo is over, and the article is published immediately."""
    silent: Flag = False
    source_version: Annotated[int, Field(ge=0, le=2**53 - 1), WHOLE] | None = None

    @model_validator(mode="before")
    @classmethod
    def _reject_author_with_authors(cls, sent: Any) -> Any:
        if not isinstance(sent, dict) or "author" not in sent:
            return sent
        if "authors" in sent:
            raise ValueError("send either 'author' or 'authors', not both")
        return {**{k: v for k, v in sent.items() if k != "author"}, "authors": [sent["author"]]}

    @field_validator("topics")
    @classmethod
    def _unique_topics(cls, topics: list[str]) -> list[str]:
        once: dict[str, str] = {}
        for topic in topics:
            once.setdefault(fold_label(topic), topic)
        return list(once.values())

    @field_validator("metadata")
    @classmethod
    def _metadata_is_small(cls, metadata: dict[str, str]) -> dict[str, str]:
        if sum(len(k.encode()) + len(v.encode()) for k, v in metadata.items()) > METADATA_LIMIT:
            raise ValueError(f"must contain at most {METADATA_LIMIT} bytes in total")
        return metadata

    @field_validator("published_at")
    @classmethod
    def _not_from_the_future(cls, moment: datetime | None) -> datetime | None:
        if moment is not None and moment > datetime.now(UTC) + FUTURE_TOLERANCE:
            raise broken_rule("is in the future", "to publish later, send 'embargo_until'")
        return moment

    def has_unconfirmed_past_embargo(self, now: datetime) -> bool:
        """Return whether the embargo ended before the request was sent, without ``embargo_lifted`` to confirm it."""
        ends = self.embargo_until
        return ends is not None and ends < now - PAST_TOLERANCE and not self.embargo_lifted


class Article(BaseModel):
    """One published version of an article, as stored, sent in events and returned to readers.

    Unknown members are kept, so that an older release forwards what a newer one added.
    """

    model_config = ConfigDict(extra="allow")

    id: str
    version: int = Field(ge=0)
    revision: int = 0
    status: Status = Status.PUBLISHED
    publisher: str
    url: str
    title: str
    body: str
    text: str = ""
    """The body as plain text, paragraphs separated by a blank line."""
    summary: str | None = None
    authors: list[Author] = []
    category: str | None = None
    topics: list[str] = []
    language: str = "und"
    published_at: datetime
    updated_at: datetime
    external_id: str | None = None
    canonical_url: str | None = None
    image: Image | None = None
    urgency: int | None = None
    metadata: dict[str, str] = {}
    correction_note: str | None = None
    source_version: int | None = None
    word_count: int = 0
    reading_minutes: int = 0
    media: list[ArticleImage] = []
    """The images of the article that this installation stores: the lead image and those of the body."""
    language_detected: bool = False
    """Whether the language was detected in the text rather than declared by the publisher."""

    @property
    def author_names(self) -> list[str]:
        """The authors' names alone."""
        return [author.name for author in self.authors]


class Tombstone(BaseModel):
    """What remains of a retracted article: no title, no summary, no body."""

    model_config = ConfigDict(extra="allow")

    id: str
    version: int
    status: Status = Status.RETRACTED
    publisher: str
    external_id: str | None = None
    reason: str | None = None
    category: str | None = None
    topics: list[str] = []
    authors: list[Author] = []
    language: str = "und"
    retracted_at: datetime

    @property
    def author_names(self) -> list[str]:
        """The authors' names alone."""
        return [author.name for author in self.authors]


class RetractionRequest(BaseModel):
    """The optional body of a retraction."""

    model_config = ConfigDict(extra="forbid")

    reason: Note | None = None

    @model_validator(mode="after")
    def _blank_is_none(self) -> Self:
        if self.reason is not None and not self.reason.strip():
            self.reason = None
        return self
