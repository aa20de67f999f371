"""The settings of ingest."""

from datetime import timedelta

from newswire.settings import Settings


class IngestSettings(Settings):
    """What every service reads, and how long a repeated request is known as one."""

    idempotency_lifetime: timedelta = timedelta(hours=24)
