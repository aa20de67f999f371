"""Sanitising without a look at the structure first, for the tests of what ends it then."""

import orjson

from newswire_ingest.content.sanitise import plain_text, sanitise


def answer(request: bytes) -> bytes:
    """Do what `newswire_ingest.content.sanitised_body.answer` does, unchecked."""
    sent, address = orjson.loads(request)
    safe = sanitise(sent, address)
    return orjson.dumps({"html": safe, "text": plain_text(safe)})
