"""The settings of the notify service."""

from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network
from typing import Annotated

from pydantic import Field, SecretStr
from pydantic_settings import NoDecode

from newswire.settings import Commas, Settings


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
    subscriptions_per_account: int = Field(default=1000, ge=1)
    delivery_retention: timedelta = timedelta(days=7)
    """How long an ended delivery and its attempts can be looked at."""
    dead_letter_retention: timedelta = timedelta(days=30)
    live_heartbeat: float = Field(default=15.0, gt=0)
    live_queue: int = Field(default=1000, ge=1)
    """Events that may wait for one reader of the live stream; a slower one is cut off and resumes."""
    live_connections: int = Field(default=10_000, ge=1)
    """Live streams and waiting pulls that a process holds open."""
    live_per_key: int = Field(default=1000, ge=1)
    """Of these, in the name of one key: with it, or with tokens that it made."""
    live_per_address: int = Field(default=100, ge=1)
    """Of these, from one client address (of IPv6, from one /64)."""

    @property
    def delivery_url(self) -> SecretStr:
        """The Redis that holds the state of the fan-out."""
        return self.delivery_redis_url or self.redis_url
