"""Removes the parts of a PNG file that are not stored in any case, before it is decoded.

Pillow refuses a file whose texts expand to more than a mebibyte, as the XMP data of editors does, or are damaged. Browsers show
such images.
"""

import struct
from typing import Final

SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_TEXTS: Final = (b"tEXt", b"zTXt", b"iTXt")
_PROFILE: Final = b"iCCP"
_FRAMING: Final = 12
"""Bytes of a chunk besides its content: length, type and checksum."""


def without_metadata(content: bytes, max_profile_bytes: int) -> bytes:
    """Return a PNG file without texts, and without a compressed colour profile that is longer; other content as it is."""
    if not content.startswith(SIGNATURE):
        return content
    kept, at, begin = list[bytes](), len(SIGNATURE), 0
    while at + _FRAMING <= len(content):
        length, kind = struct.unpack_from(">I4s", content, at)
        following = at + _FRAMING + length
        if kind in _TEXTS or (kind == _PROFILE and length > max_profile_bytes):
            kept.append(content[begin:at])
            begin = following
        at = following
    return b"".join((*kept, content[begin:])) if kept else content
