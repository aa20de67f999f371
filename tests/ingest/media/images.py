"""Images that tests upload, sound ones and hostile ones."""

import io
import struct
import zlib
from typing import Any

from PIL import Image, ImageCms

SECRET = b"Kilroy was here"
"""What no stored image may contain: it is in every kind of metadata of the images below."""
_ORIENTATION, _ARTIST, _GPS = 0x0112, 0x013B, 0x8825


def gradient(width: int, height: int, mode: str = "RGB") -> Image.Image:
    """Return an image that is red at the left and blue at the right."""
    image = Image.new("RGB", (2, 1))
    image.putdata([(255, 0, 0), (0, 0, 255)])
    return image.resize((width, height), Image.Resampling.BILINEAR).convert(mode)


def encoded(image: Image.Image, format_: str, **options: Any) -> bytes:
    written = io.BytesIO()
    image.save(written, format_, **options)
    return written.getvalue()


def exif(orientation: int = 1) -> Image.Exif:
    """Return EXIF data with an orientation, a name and a place."""
    data = Image.Exif()
    data[_ORIENTATION] = orientation
    data[_ARTIST] = SECRET.decode()
    data[_GPS] = {1: "N", 2: (52.0, 31.0, 12.0), 3: "E", 4: (13.0, 24.0, 18.0)}
    return data


XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><creator>' + SECRET + b"</creator></x:xmpmeta>"


def jpeg(width: int = 400, height: int = 300, **options: Any) -> bytes:
    return encoded(gradient(width, height), "JPEG", **{"quality": 80, **options})


def press_profile(size: int) -> bytes:
    """Return a CMYK profile of at least so many bytes, by which every mixture of inks is green: the darker, the more inks."""
    identity = b"".join(struct.pack(">i", 65_536 * (at % 4 == 0)) for at in range(9))
    table = bytes(range(256))
    mixtures = (at.bit_count() for at in range(2**4))
    green = b"".join(bytes((255 - 63 * inks, *((0x80, 0x80) if inks in (0, 4) else (0x30, 0xA0)))) for inks in mixtures)
    lut = b"mft1\0\0\0\0" + bytes((4, 3, 2, 0)) + identity + table * 4 + green + table * 3
    white = b"XYZ \0\0\0\0" + struct.pack(">iii", 63_190, 65_536, 54_061)
    tags = {b"A2B0": lut, b"wtpt": white, b"priv": b"data\0\0\0\0" + bytes(size)}
    at, index, body = 132 + 12 * len(tags), b"", b""
    for name, content in tags.items():
        index += name + struct.pack(">II", at + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    total = at + len(body)
    head = struct.pack(">I4sI4s4s4s", total, b"\0\0\0\0", 0x02400000, b"prtr", b"CMYK", b"Lab ")
    head += bytes(12) + b"acsp" + bytes(28) + struct.pack(">iii", 63_190, 65_536, 54_061) + bytes(48)
    return head + struct.pack(">I", len(tags)) + index + body


def tagged(format_: str, orientation: int = 1) -> bytes:
    """Return an image with EXIF, XMP and a comment in it."""
    image = gradient(400, 300)
    data = exif(orientation).tobytes()
    match format_:
        case "JPEG":
            iptc = (
                b"Photoshop 3.0\0"
                + b"8BIM\x04\x04\0\0"
                + struct.pack(">I", len(SECRET) + 5)
                + b"\x1c\x02\x5a\0\x0f"
                + SECRET
            )
            plain = encoded(image, "JPEG", exif=data, xmp=XMP, comment=SECRET)
            segment = b"\xff\xed" + struct.pack(">H", len(iptc) + 2) + iptc
            return plain[:2] + segment + plain[2:]
        case "PNG":
            text = b"Comment\0" + SECRET
            chunk = struct.pack(">I", len(text)) + b"tEXt" + text + struct.pack(">I", zlib.crc32(b"tEXt" + text))
            plain = encoded(image, "PNG", exif=data)
            return plain[:33] + chunk + plain[33:]
        case "GIF":
            return encoded(image, "GIF", comment=SECRET)
        case _:
            return encoded(image, format_, exif=data, xmp=XMP)


def display_p3() -> bytes:
    """Return a colour profile as cameras embed it."""
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def animation(format_: str, frames: int = 3, size: tuple[int, int] = (64, 48), **options: Any) -> bytes:
    pictures = [Image.new("RGB", size, (at % 16 * 16, at // 16 * 7, 128)) for at in range(frames)]
    timing = {"duration": 80, "loop": 0} | options
    return encoded(pictures[0], format_, save_all=True, append_images=pictures[1:], **timing)


def png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_of_size(width: int, height: int, *, extra: bytes = b"", content: bytes | None = None) -> bytes:
    """Return a PNG that claims a size; its pixels are missing unless they are given."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = zlib.compress(b"\0" * 1000) if content is None else content
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", head) + extra + png_chunk(b"IDAT", body) + png_chunk(b"IEND", b"")
