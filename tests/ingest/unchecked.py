"""Sanitises without checking the structure first, to test the CPU limit."""

import orjson

from newswire_ingest.content.sanitise import plain_text, sanitise


def answer(request: bytes) -> bytes:
    """Do the same as `newswire_ingest.content.sanitised_body.answer`, without the check."""
    sent, address = orjson.loads(request)
    safe = sanitise(sent, address)
    return orjson.dumps({"html": safe, "text": plain_text(safe)})
