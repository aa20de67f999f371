"""What schemathesis must be told about lines of JSON: a batch of one."""

import json
from typing import Any

import orjson
import schemathesis


@schemathesis.serializer("application/x-ndjson")
def _serialise(_context: Any, value: Any) -> bytes:
    # Not by orjson: numbers of any size are made up.
    return value if isinstance(value, bytes) else json.dumps(value).encode() + b"\n"


@schemathesis.deserializer("application/x-ndjson")
def _deserialise(_context: Any, response: Any) -> Any:
    return orjson.loads(response.content.partition(b"\n")[0])
