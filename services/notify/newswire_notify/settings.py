"""The settings of the notify service."""

from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network
from typing import Annotated

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import NoDecode

from newswire.settings import Commas, Settings, duration
from newswire_notify.deliveries.retention import Retention


class NotifySettings(Settings):
    """Settings of the fan-out, beside the common ones."""

    webhook_allow_private: bool = False
    """Let webhooks go to loopback and private addresses, by plain http, on any port: for a laptop or a closed network."""
    webhook_ports: Annotated[frozenset[int], NoDecode, Commas] = frozenset({80, 443})
    webhook_refused_networks: Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode, Commas] = ()
    """Networks where no webhook goes, beside all that are not public: one's own behind public addresses, a NAT64 prefix."""
    webhook_timeout: float = Field(default=15.0, gt=0, le=120)
    webhook_connect_timeout: float = Field(default=5.0, gt=0, le=60)
    webhook_concurrency: int = Field(default=64, ge=1, le=4096)
    """Deliveries in flight at a time, per process."""
    webhook_concurrency_per_endpoint: int = Field(default=8, ge=1, le=256)
    webhook_circuit_opens_after: int = Field(default=5, ge=1)
    """Failures in a row after which an endpoint gets one attempt at a time, until it answers."""
    webhook_disabled_after: timedelta = timedelta(days=5)
    """How long an endpoint may only fail before its subscription is disabled."""
    webhook_verification_required: bool = False
    """Whether every new address of a webhook has to consent, as with ``verify`` in its channel."""
    webhook_urls_per_host: int = Field(default=100, ge=1)
    """Different addresses of one host that the subscriptions of an account may deliver to."""
    subscriptions_per_account: int = Field(default=1000, ge=1)
    subscription_bytes_per_account: int = Field(default=8 * 1024 * 1024, ge=64 * 1024)
    """Bytes of the filters, labels, addresses and headers of all subscriptions of an account, with 64 more for each value of a
    filter."""
    delivery_retention: timedelta = Field(default=timedelta(days=7), gt=timedelta(0))
    """How long an ended delivery and its attempts can be read and replayed. One that has not ended is kept until it has."""
    delivery_history_bytes: int = Field(default=16 * 1024 * 1024, ge=64 * 1024)
    """Memory for the ended deliveries of one subscription; of a busier one the oldest are removed before their time."""
    dead_letter_retention: timedelta = Field(default=timedelta(days=30), gt=timedelta(0))
    """How long a dead delivery can be read and retried."""
    dead_deliveries_max: int = Field(default=100_000, ge=1)
    """Dead deliveries that are kept in all; of more, the oldest are removed before their time."""
    live_heartbeat: float = Field(default=15.0, gt=0)
    live_queue: int = Field(default=1000, ge=1)
    """Events that may wait for one reader of the live stream; a slower one is cut off and resumes."""
    live_connections: int = Field(default=10_000, ge=1)
    """Live streams and waiting pulls that a process holds open."""
    live_per_key: int = Field(default=1000, ge=1)
    """Of these, in the name of one key: with it, or with tokens that it made."""
    live_per_address: int = Field(default=100, ge=1)
    """Of these, from one client address (of IPv6, from one /64)."""

    @field_validator("webhook_disabled_after", "delivery_retention", "dead_letter_retention", mode="before")
    @classmethod
    def _durations(cls, value: object) -> object:
        return duration(value)

    @property
    def retention(self) -> Retention:
        """What is kept of deliveries, and for how long."""
        return Retention(
            ended=self.delivery_retention.total_seconds(),
            dead=self.dead_letter_retention.total_seconds(),
            stream=self.stream_retention.total_seconds(),
            history_bytes=self.delivery_history_bytes,
            dead_count=self.dead_deliveries_max,
        )

    @property
    def delivery_url(self) -> SecretStr:
        """The Redis that holds the state of the fan-out."""
        return self.delivery_redis_url or self.redis_url
