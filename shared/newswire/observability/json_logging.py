"""Logging as JSON lines, with secrets removed."""

import json
import logging
import re
import sys
import threading
import traceback
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path

from newswire.observability import metrics, request_context
from newswire.observability.repeated_lines import RepeatedLines

LOG_BYTES, LOG_FILES = 10_000_000, 5

_SECRET = re.compile(
    r"\b(nw_[0-9a-z]+_|nwt_|whsec_)[\w+/=-]+|(?i:(?<=bearer )[^\s\"\\,;]+)|(?<=://)[^/\s:@\"\\]*:[^/\s@\"\\]+(?=@)"
)
LEVELS = ("debug", "info", "warning", "error", "critical")
_LOGGER = re.compile(r"([A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*)?")
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message", "taskName"}


def redact(text: str) -> str:
    """Replace keys, webhook secrets and passwords in addresses by a placeholder."""
    return _SECRET.sub(lambda match: f"{match[1] or ''}[redacted]", text)


class JsonLines(logging.Formatter):
    """Formats a log record as one line of JSON: time, level, logger, message, and the members of ``extra``."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line, with secrets replaced."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **{key: value for key, value in vars(record).items() if key not in _STANDARD},
            **request_context.log_members(),
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
    """Send every log line of this process to stderr (or the given handler) as JSON; identical failures are counted.

    A line that cannot be written, because of a full disk or a closed pipe, is counted and lost: logging reports no errors itself.
    """
    handler = handler or logging.StreamHandler(sys.stderr)
    handler.handleError = lambda _: metrics.log_lines_dropped.inc()  # type: ignore[method-assign,assignment] # else a traceback
    logging.raiseExceptions = False
    threading.excepthook = _log_thread_error
    handler.setFormatter(JsonLines())
    handler.addFilter(RepeatedLines(handler))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for noisy in ("uvicorn.access", "httpx", "elastic_transport", "faststream"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def parse_levels(text: str) -> dict[str, str]:
    """Return the level of each logger that a setting such as ``info,newswire_notify=debug`` names; "" is all others.

    Raises:
        ValueError: it has another form; the message says what is accepted.
    """
    levels = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        logger, _, level = part.rpartition("=")
        if level.lower() not in LEVELS or not _LOGGER.fullmatch(logger.strip()):
            raise ValueError(f"{part[:50]!r} is none of {', '.join(LEVELS)}, nor logger=level such as newswire=debug")
        levels[logger.strip()] = level.upper()
    return levels


def set_levels(levels: str) -> None:
    """Set the levels of loggers, as `parse_levels` reads them."""
    for logger, level in parse_levels(levels).items():
        logging.getLogger(logger or None).setLevel(level)
