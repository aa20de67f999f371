"""The settings of ingest."""

from datetime import timedelta

from pydantic import Field

from newswire.settings import Settings


class IngestSettings(Settings):
    """What every service reads, how long a repeated request is known as one, and how much may be published."""

    idempotency_lifetime: timedelta = timedelta(hours=24)
    publish_rate: float = Field(default=0, ge=0, le=1_000_000, allow_inf_nan=False)
    """Publishing requests a second that a key may send, averaged over ten seconds; 0 for any number."""
    daily_quota: int = Field(default=0, ge=0)
    """New articles that an account may publish in a day (UTC); 0 for any number."""
