"""The wire models of images."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from newswire.validation.fields import Note
from newswire_ingest.media.models import CONTENT_TYPES, Media, MediaText

Credit = Annotated[Note, StringConstraints(max_length=300)]


class MediaTexts(BaseModel):
    """What is said about an image."""

    model_config = ConfigDict(extra="forbid")

    alt: Annotated[Note | None, Field(description="What the image shows, for those who cannot see it.")] = None
    caption: Note | None = None
    credit: Credit | None = None

    def media_text(self) -> MediaText:
        """Return the texts that were sent; null removes one."""
        sent = {name: getattr(self, name) or "" for name in self.model_fields_set}
        return MediaText(**sent)


class VariantView(BaseModel):
    """A smaller size of an image, as WebP."""

    width: int
    url: str


class MediaView(BaseModel):
    """An image of your account."""

    id: str
    url: str
    """The address of the image; use it as `image.url` of an article, or as `src` in its body."""
    content_type: str
    size: int
    """In bytes."""
    width: int
    height: int
    animated: bool
    colour: str
    """The average colour."""
    alt: str | None
    caption: str | None
    credit: str | None
    created_at: datetime
    created_by: str | None
    uses: int
    """How many of your articles and drafts use it."""
    variants: list[VariantView]


class MediaList(BaseModel):
    """Your images, newest first."""

    media: list[MediaView]
    next_cursor: str | None


def media_view(media: Media, site: str) -> dict[str, Any]:
    """Return an image as its owner sees it."""
    file = media.file
    return {
        "id": media.id,
        "url": media.url(site),
        "content_type": CONTENT_TYPES[file.format],
        "size": file.size,
        "width": file.width,
        "height": file.height,
        "animated": file.frames > 1,
        "colour": file.colour,
        "alt": media.alt,
        "caption": media.caption,
        "credit": media.credit,
        "created_at": media.created_at,
        "created_by": media.created_by or None,
        "uses": media.uses,
        "variants": [{"width": width, "url": url} for width, url in media.variants(site)],
    }
