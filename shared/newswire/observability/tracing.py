"""W3C Trace Context: every event continues the trace of the request that caused it."""

import re
import secrets

_TRACEPARENT = re.compile(r"^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$")


def traceparent(header: str | None) -> str:
    """Continue the caller's trace with a span id of our own, or begin a new one (W3C Trace Context, level 1)."""
    span = secrets.token_hex(8)
    if header and (match := _TRACEPARENT.match(header.strip())):
        version, trace, parent, flags, more = match.groups()
        sound = version != "ff" and trace.strip("0") and parent.strip("0") and not (version == "00" and more)
        if sound:
            return f"00-{trace}-{span}-{int(flags, 16) & 1:02x}"
    return f"00-{secrets.token_hex(16)}-{span}-01"
