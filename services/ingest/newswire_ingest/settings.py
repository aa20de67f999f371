"""The settings of ingest."""

from datetime import timedelta

from newswire.settings import Settings


class IngestSettings(Settings):
    """What every service reads, and the rules of publishing."""

    idempotency_lifetime: timedelta = timedelta(hours=24)
    """How long a repeated request is known as one."""
    require_if_match: bool = False
    """Refuse changes that do not name the state they were made for (428)."""
