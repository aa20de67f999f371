"""The settings of the notify service."""

from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, HttpUrl, SecretStr, field_validator, model_validator
from pydantic_settings import NoDecode

from newswire.settings import Commas, Duration
from newswire.site.settings import SiteSettings
from newswire.validation.email_addresses import check_address
from newswire_notify.deliveries.retention import Retention
from newswire_notify.newsletters.receiving_domains import read_rates, read_warm_up


class NotifySettings(SiteSettings):
    """Settings of notify, in addition to the common ones and those of pages for readers."""

    webhook_allow_private: bool = False
    """Allow webhooks to loopback and private addresses, over plain http, on any port: for a laptop or a closed network."""
    webhook_ports: Annotated[frozenset[int], NoDecode, Commas] = frozenset({80, 443})
    webhook_refused_networks: Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode, Commas] = ()
    """Networks that webhooks must not reach, besides all non-public ones: the operator's own public addresses, a NAT64 prefix."""
    webhook_timeout: float = Field(default=15.0, gt=0, le=120)
    webhook_connect_timeout: float = Field(default=5.0, gt=0, le=60)
    webhook_concurrency: int = Field(default=64, ge=1, le=4096)
    """Deliveries in flight per process."""
    webhook_concurrency_per_endpoint: int = Field(default=8, ge=1, le=256)
    webhook_circuit_opens_after: int = Field(default=5, ge=1)
    """Failures in a row after which the circuit opens: one attempt at a time until one succeeds."""
    webhook_disabled_after: Duration = timedelta(days=5)
    """How long an endpoint may fail without a success before its subscription is disabled."""
    webhook_verification_required: bool = False
    """Whether every new webhook URL must consent, as with ``verify`` in its channel."""
    webhook_urls_per_host: int = Field(default=100, ge=1)
    """Distinct URLs of one host that the subscriptions of an account may deliver to."""
    subscriptions_per_account: int = Field(default=1000, ge=1)
    subscription_write_rate: float = Field(default=50.0, ge=0)
    """Changes of subscriptions a second, per account and process, averaged over ten seconds; 0 is no limit."""
    subscription_bytes_per_account: int = Field(default=8 * 1024 * 1024, ge=64 * 1024)
    """Bytes of the filters, labels, URLs and headers of all subscriptions of an account, plus 64 for each filter value."""
    delivery_retention: Duration = Field(default=timedelta(days=7), gt=timedelta(0))
    """How long an ended delivery and its attempts can be read and replayed. A delivery that has not ended does not expire."""
    delivery_history_bytes: int = Field(default=16 * 1024 * 1024, ge=64 * 1024)
    """Memory for the ended deliveries of one subscription. Beyond it the oldest are removed early."""
    dead_letter_retention: Duration = Field(default=timedelta(days=30), gt=timedelta(0))
    """How long a dead delivery can be read and retried."""
    dead_deliveries_max: int = Field(default=100_000, ge=1)
    """Dead deliveries kept in total. Beyond it the oldest are removed early."""
    smtp_url: SecretStr | None = None
    """The mail server of newsletters: ``smtp://`` or ``smtps://``, user and password percent-encoded. Without one, mails are
    written to the data folder."""
    smtp_connections: int = Field(default=4, ge=1, le=64)
    """Connections to the mail server, per process."""
    smtp_timeout: float = Field(default=60.0, gt=0, le=100)
    """Seconds that one mail may take."""
    smtp_messages_per_connection: int = Field(default=20, ge=1, le=10_000)
    """Mails after which a connection to the mail server is renewed."""
    mail_sender: str | None = None
    """The sender of mails to users (invitations, links for a new password, warnings); by default ``newswire@`` the public host."""
    mail_rates: str = ""
    """Mails in any second, minute or hour to a receiving domain: ``gmail.com=20/s, *=3000/min``; 0 for no limit."""
    mail_connections_per_domain: int = Field(default=8, ge=1, le=4096)
    """Connections, of all processes, that send to one receiving domain at a time."""
    mail_warm_up: str = ""
    """The warm-up of a new sender, ``DATE:COUNT``: so many mails on that day (UTC), twice as many on each of the next 13 days."""
    mail_jitter: Duration = Field(default=timedelta(minutes=2), ge=timedelta(0), le=timedelta(hours=1))
    """Digests of one hour are spread over this time, since receivers slow down what comes all at once."""
    dkim_private_key: SecretStr | None = None
    """The RSA key (PEM) that signs mails, together with ``dkim_domain``."""
    dkim_domain: str | None = Field(default=None, pattern=r"^[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+$")
    dkim_selector: str = Field(default="newswire", pattern=r"^[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*$")
    """The name under ``_domainkey`` of the domain at which DNS publishes the public key."""
    bounce_domain: str | None = Field(default=None, pattern=r"^[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+$")
    """The domain of the return paths of mails, by which reports name a subscriber; by default reports go to the sender."""
    bounce_maildir: Path | None = None
    """A maildir with the mails that come to ``bounce_domain``."""
    signups_per_network: int = Field(default=20, ge=1)
    """Sign-ups for newsletters that one client network may send in an hour."""
    signups_per_newsletter: int = Field(default=2000, ge=1)
    """Sign-ups that one newsletter takes in an hour."""
    live_heartbeat: float = Field(default=15.0, gt=0)
    live_queue: int = Field(default=1000, ge=1)
    """Events that may wait for one client of the live stream; a slower client is disconnected and resumes."""
    live_connections: int = Field(default=10_000, ge=1)
    """Live streams and waiting pulls per process."""
    live_per_key: int = Field(default=1000, ge=1)
    """Of these, per API key, including the tokens made with it."""
    live_per_address: int = Field(default=100, ge=1)
    """Of these, per client address (for IPv6, per /64)."""
    stream_relay_folder: Path | None = None
    """A folder of the processes of one host, by which one of them reads the stream for all; without it, each reads for itself."""

    feeds_url: HttpUrl | None = None
    """Where the WebSub hub fetches feeds, such as search's internal address; by default the public URL."""
    hub_concurrency: int = Field(default=64, ge=2, le=4096)
    """Pushes of the hub in flight per process; slow subscribers share a quarter as many of their own."""
    hub_rate: float = Field(default=5, ge=0, le=100_000, allow_inf_nan=False)
    """Requests a second to ``/hub`` that one client address (of IPv6, one /64) may send, averaged over ten seconds and in each
    process; 0 for any number."""
    hub_subscriptions_max: int = Field(default=100_000, ge=1)
    """Subscriptions at the hub, in total."""
    hub_subscriptions_per_host: int = Field(default=1000, ge=1)
    """Of these, with callbacks at one host."""
    hub_topics_max: int = Field(default=1000, ge=1)
    """Distinct feeds with subscriptions at the hub. Each is fetched after every publication."""

    @field_validator("mail_sender")
    @classmethod
    def _sender(cls, value: str | None) -> str | None:
        return None if value is None else check_address(value)

    @field_validator("mail_rates")
    @classmethod
    def _rates(cls, value: str) -> str:
        read_rates(value)
        return value

    @field_validator("mail_warm_up")
    @classmethod
    def _warm_up(cls, value: str) -> str:
        read_warm_up(value)
        return value

    @model_validator(mode="after")
    def _key_and_domain_together(self) -> Self:
        if (self.dkim_private_key is None) != (self.dkim_domain is None):
            raise ValueError("NEWSWIRE_DKIM_PRIVATE_KEY and NEWSWIRE_DKIM_DOMAIN are set together, or not at all")
        if self.bounce_maildir is not None and self.bounce_domain is None:
            raise ValueError("NEWSWIRE_BOUNCE_MAILDIR needs NEWSWIRE_BOUNCE_DOMAIN")
        return self

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
        """URL of the delivery Redis."""
        return self.delivery_redis_url or self.redis_url
