"""The addresses of images that this installation stores, such as ``/media/{file}/original.jpg`` and ``/media/{file}/640.webp``.

``file`` is the SHA-256 of the stored bytes, so what is at an address never changes.
"""

import re
from collections.abc import Iterable
from typing import Final

from pydantic import BaseModel, ConfigDict

PATH: Final = "/media"
WIDTHS: Final = (320, 640, 960, 1280, 1920)
"""The widths of variants, in pixels. An image is never enlarged."""
_FILE: Final = re.compile(r"[0-9a-f]{64}")
_NAME: Final = re.compile(r"(original|[1-9][0-9]{1,3})\.(jpg|png|webp|avif|gif)")


class ArticleImage(BaseModel):
    """An image of an article that this installation stores, with its size in pixels and the widths of its WebP variants."""

    model_config = ConfigDict(extra="allow")

    url: str
    width: int
    height: int
    widths: list[int] = []


def is_file(text: str) -> bool:
    """Return whether a text has the form of the name of a stored file."""
    return _FILE.fullmatch(text) is not None


def parse_name(name: str) -> tuple[int | None, str] | None:
    """Return the width and the suffix that the last part of an address names; the width of the original is None."""
    found = _NAME.fullmatch(name)
    return None if found is None else (None if found[1] == "original" else int(found[1]), found[2])


def original_address(site: str, file: str, suffix: str) -> str:
    """Return the address of an image as it is stored."""
    return f"{site}{PATH}/{file}/original.{suffix}"


def variant_address(original: str, width: int, suffix: str = "webp") -> str:
    """Return the address of a variant of the image with this original address."""
    return f"{original.rpartition('/')[0]}/{width}.{suffix}"


def widths_below(width: int) -> list[int]:
    """Return the widths of the variants of an image of this width."""
    return [each for each in WIDTHS if each < width]


def files_in(site: str, texts: Iterable[str]) -> list[str]:
    """Return the files of this installation whose addresses occur in texts, in order, each once."""
    start = f"{site}{PATH}/"
    parts = [text for text in texts if start in text]
    if not parts:
        return []
    pattern = re.compile(re.escape(start) + r"([0-9a-f]{64})/")
    return list(dict.fromkeys(found for text in parts for found in pattern.findall(text)))
