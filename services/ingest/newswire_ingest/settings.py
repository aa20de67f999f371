"""The settings of ingest."""

from datetime import timedelta

from pydantic import Field

from newswire.settings import Settings


class IngestSettings(Settings):
    """What every service reads, and the rules of publishing."""

    idempotency_lifetime: timedelta = timedelta(hours=24)
    """How long a repeated request is known as one."""
    require_if_match: bool = False
    """Refuse changes that do not name the state they were made for (428)."""
    publish_rate: float = Field(default=0, ge=0, le=1_000_000, allow_inf_nan=False)
    """Publishing requests a second that a key may send, averaged over ten seconds; 0 for any number."""
    daily_quota: int = Field(default=0, ge=0)
    """New articles that an account may publish in a day (UTC); 0 for any number."""
