"""How the embedded index stores an article: a long body and text are kept apart and packed, and read only where they are asked for.

Whatever is stored of a document is read together, and most answers need neither of the two.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson
import zstandard

COMPRESS_FROM_CHARACTERS: Final = 8 * 1024
"""Characters of body and text together. Below it one JSON document is read sooner."""
ZSTD_LEVEL: Final = 1
_MAX_BYTES_PER_CHARACTER: Final = 4


def stored_values(document: Mapping[str, Any]) -> list[bytes]:
    """Return what is stored of an article: all of it as JSON, or all but body and text, and then these two."""
    body, text = document.get("body"), document.get("text")
    if not isinstance(body, str) or not isinstance(text, str) or len(body) + len(text) < COMPRESS_FROM_CHARACTERS:
        return [orjson.dumps(document)]
    rest = {name: value for name, value in document.items() if name not in ("body", "text")}
    pack = zstandard.ZstdCompressor(level=ZSTD_LEVEL).compress  # one per call: they are not for several threads
    return [orjson.dumps(rest), pack(body.encode()), pack(text.encode())]


def read_article(
    stored: Sequence[bytes], *, with_body: bool = True, with_text: bool = True, text_characters: int | None = None
) -> dict[str, Any]:
    """Return an article as it was stored, without body or text where they are not wanted.

    Of a long text no more than ``text_characters`` come, if that is given.
    """
    article: dict[str, Any] = orjson.loads(stored[0])
    if len(stored) == 1:
        for name, wanted in (("body", with_body), ("text", with_text)):
            if not wanted:
                article.pop(name, None)
        return article
    _, body, text = stored
    if with_body:
        article["body"] = zstandard.ZstdDecompressor().decompress(body).decode()
    if with_text:
        article["text"] = _beginning(text, text_characters)
    return article


def _beginning(packed: bytes, characters: int | None) -> str:
    if characters is None:
        return zstandard.ZstdDecompressor().decompress(packed).decode()
    with zstandard.ZstdDecompressor().stream_reader(packed) as reader:
        beginning = reader.read(characters * _MAX_BYTES_PER_CHARACTER)
    return beginning.decode(errors="ignore")[:characters]  # the last character may be cut
