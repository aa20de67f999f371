"""JPEG files without the marker of their end: whether the image is complete all the same.

Some devices and programs leave the marker out, or it was cut off, and browsers show such an image. The decoder wants the marker
because it may be behind by a scan, and would take zeros for data that is missing.
"""

from collections.abc import Callable
from typing import Final

from PIL import Image, ImageChops

_END: Final = b"\xff\xd9"
_OTHER_DATA: Final = b"\xaa" * 64
"""Data that begins with another bit than the zeros that the decoder invents."""
_ROWS: Final = 256
"""Rows that are compared at once: copies of a whole image would take much memory."""


def decode_without_end(content: bytes, opened: Callable[[bytes], Image.Image]) -> Image.Image | None:
    """Decode a JPEG file whose end is missing; return None if more than the marker is missing.

    Nothing is missing if the decoder does not use what follows: the pixels are the same, whatever that is.
    """
    data = content.rstrip(b"\xff")  # the first half of a marker
    image, other = opened(data + _END), opened(data + _OTHER_DATA + _END)
    image.load()
    other.load()
    for top in range(0, image.height, _ROWS):
        rows = (0, top, image.width, min(image.height, top + _ROWS))
        if ImageChops.difference(image.crop(rows), other.crop(rows)).getbbox() is not None:
            return None
    return image
