"""Images: a file that is stored once, and the items of the accounts that uploaded it."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from newswire.media import original_address, variant_address, widths_below


class ImageFormat(StrEnum):
    """The format of a stored image; the value is its file suffix."""

    JPEG = "jpg"
    PNG = "png"
    WEBP = "webp"
    AVIF = "avif"
    GIF = "gif"


CONTENT_TYPES: Final = {
    ImageFormat.JPEG: "image/jpeg",
    ImageFormat.PNG: "image/png",
    ImageFormat.WEBP: "image/webp",
    ImageFormat.AVIF: "image/avif",
    ImageFormat.GIF: "image/gif",
}


@dataclass(frozen=True, slots=True)
class CleanImage:
    """An image that was decoded, turned upright, freed of metadata and encoded again."""

    content: bytes
    format: ImageFormat
    width: int
    height: int
    frames: int
    alpha: bool
    colour: str
    """The average colour, as ``#rrggbb``: what a page can show until the image is there."""


@dataclass(frozen=True, slots=True)
class MediaFile:
    """A stored file. ``name`` is the SHA-256 of its bytes; ``folder`` tells this storing of it from earlier ones."""

    name: str
    folder: str
    format: ImageFormat
    size: int
    width: int
    height: int
    frames: int
    alpha: bool
    colour: str

    @property
    def widths(self) -> list[int]:
        """The widths of its variants. Animated images have none."""
        return widths_below(self.width) if self.frames == 1 else []

    @property
    def variant_formats(self) -> tuple[ImageFormat, ...]:
        """The formats of its variants: WebP, and one that every program can read."""
        return (ImageFormat.WEBP, ImageFormat.PNG if self.alpha else ImageFormat.JPEG)

    @property
    def path(self) -> str:
        """Where its original and its variants are, in the folder or the bucket."""
        return f"{self.name[:2]}/{self.name}.{self.folder}"


@dataclass(frozen=True, slots=True)
class Media:
    """An image of an account."""

    file: MediaFile
    account: str
    created_at: datetime
    created_by: str
    """The id of the user or of the key; empty for the command line."""
    alt: str | None
    caption: str | None
    credit: str | None
    uses: int
    """The number of articles and drafts of the account that use it."""

    @property
    def id(self) -> str:
        """The name of its file."""
        return self.file.name

    def url(self, site: str) -> str:
        """Return the address of the original."""
        return original_address(site, self.file.name, self.file.format)

    def variants(self, site: str) -> list[tuple[int, str]]:
        """Return the width and the address of each WebP variant."""
        return [(width, variant_address(self.url(site), width)) for width in self.file.widths]


@dataclass(frozen=True, slots=True)
class MediaText:
    """What an account says about an image. An empty text removes what was said before; None keeps it."""

    alt: str | None = None
    caption: str | None = None
    credit: str | None = None

    def given(self) -> dict[str, str]:
        """Return the texts to store."""
        texts = {"alt": self.alt, "caption": self.caption, "credit": self.credit}
        return {name: text for name, text in texts.items() if text is not None}
