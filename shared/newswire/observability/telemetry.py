"""What the services tell their operators: metrics, trace context and log lines."""

import json
import logging
import re
import secrets
import sys
import threading
import traceback
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path

from prometheus_client import Counter, Gauge, Histogram

LOG_BYTES, LOG_FILES = 10_000_000, 5
_DELAYS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)

published = Counter("newswire_published", "Events put on the stream", ["kind"])
repeated = Counter("newswire_repeated", "Publishing requests answered as repeats of earlier ones")
stream_lag = Gauge("newswire_stream_lag", "Stream entries that a group has not read", ["group"])
oldest_pending = Gauge("newswire_oldest_pending_seconds", "Age of the oldest entry read but not handled", ["group"])
retention_overdue = Gauge(
    "newswire_retention_overdue_seconds", "How long past its retention a slow group keeps a stream", ["stream"]
)
disk_erasure_overdue = Gauge(
    "newswire_disk_erasure_overdue_seconds",
    "How long the rewrite that takes erased text off the disk is overdue",
    ["store"],
)
redelivered = Counter("newswire_redelivered", "Entries handled again after a consumer went away", ["group"])
dead_lettered = Counter("newswire_dead_lettered", "Entries given up", ["group"])
dead_letters = Gauge("newswire_dead_letters", "Entries given up that wait for an operator", ["group"])
skipped = Counter("newswire_skipped", "Entries of a type this release does not know", ["group"])
indexed = Counter("newswire_indexed", "Versions and tombstones put into the index")
deliveries = Counter("newswire_deliveries", "Deliveries that ended", ["outcome"])
publish_to_indexed = Histogram("newswire_publish_to_indexed_seconds", "From publication to findable", buckets=_DELAYS)
publish_to_delivered = Histogram(
    "newswire_publish_to_delivered_seconds", "From publication to delivered", buckets=_DELAYS
)
offload_refused = Counter(
    "newswire_offload_refused",
    "Processor-bound work that was not done",
    ["pool", "reason"],
)
embargo_lateness = Histogram(
    "newswire_embargo_lateness_seconds",
    "From the time for which an article was scheduled to its publication",
    buckets=_DELAYS,
)
live_readers = Gauge("newswire_live_readers", "Open live streams and waiting pulls")
live_cut_off = Counter("newswire_live_cut_off", "Live streams ended before their readers left", ["reason"])
requests = Counter("newswire_requests", "Requests answered", ["method", "status"])
request_seconds = Histogram(
    "newswire_request_seconds", "Time to the first byte of the answer", ["method"], buckets=_DELAYS
)
connections = Gauge("newswire_http_connections", "Open HTTP connections")
connections_closed = Counter(
    "newswire_http_connections_closed", "Connections that a limit closed or refused", ["reason"]
)
authentication_failures = Counter(
    "newswire_authentication_failures", "Keys and tokens that were refused, or not looked up", ["answer"]
)
reads_refused = Counter("newswire_reads_refused", "Reading requests over a limit", ["limit", "of"])

log_lines_lost = Counter("newswire_log_lines_lost", "Log lines that could not be written")

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


_SECRET = re.compile(
    r"\b(nw_[0-9a-z]+_|nwt_|whsec_)[\w+/=-]+|(?i:(?<=bearer )[^\s\"\\,;]+)|(?<=://)[^/\s:@\"\\]*:[^/\s@\"\\]+(?=@)"
)
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message", "taskName"}


def redact(text: str) -> str:
    """Blot out keys, webhook secrets and passwords in addresses."""
    return _SECRET.sub(lambda match: f"{match[1] or ''}[redacted]", text)


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, logger, message, and what ``extra`` carried."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line, secrets blotted out."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **{key: value for key, value in vars(record).items() if key not in _STANDARD},
        }
        if record.exc_info and record.exc_info[0]:
            line["error"] = "".join(traceback.format_exception(*record.exc_info))
        return redact(json.dumps(line, default=str, ensure_ascii=False)).encode("utf-8", "replace").decode()


def rotating_file(path: Path) -> logging.Handler:
    """Return a handler that appends to a file and keeps five older ones (``….1`` is the newest) of 10 MB each."""
    return RotatingFileHandler(path, maxBytes=LOG_BYTES, backupCount=LOG_FILES, encoding="utf-8")


def _log_thread_error(failed: threading.ExceptHookArgs) -> None:
    error = (failed.exc_type, failed.exc_value or failed.exc_type(), failed.exc_traceback)
    name = failed.thread.name if failed.thread else "?"
    logging.getLogger(__name__).error("a thread failed", extra={"name_of_thread": name}, exc_info=error)


def log_as_json(handler: logging.Handler | None = None, level: str = "INFO") -> None:
    """Send every log line of this process to stderr (or the given handler) as JSON.

    A line that cannot be written, to a full disk or a closed pipe, is counted and lost: logging prints nothing about itself.
    """
    handler = handler or logging.StreamHandler(sys.stderr)
    handler.handleError = lambda _: log_lines_lost.inc()  # type: ignore[method-assign,assignment] # else: a traceback
    logging.raiseExceptions = False
    threading.excepthook = _log_thread_error
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for noisy in ("uvicorn.access", "httpx", "elastic_transport", "faststream"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
