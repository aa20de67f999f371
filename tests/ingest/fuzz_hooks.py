"""What schemathesis must be told about lines of JSON: a batch of one."""

from typing import Any

import orjson
import schemathesis


@schemathesis.serializer("application/x-ndjson")
def _serialise(_context: Any, value: Any) -> bytes:
    return value if isinstance(value, bytes) else orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE)


@schemathesis.deserializer("application/x-ndjson")
def _deserialise(_context: Any, response: Any) -> Any:
    return orjson.loads(response.content.partition(b"\n")[0])
