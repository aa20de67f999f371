"""The settings that all services share, from environment variables with the prefix ``NEWSWIRE_``.

For each ``NEWSWIRE_X`` there is a ``NEWSWIRE_X_FILE``: the path of a file that contains the value, as Docker and Kubernetes mount
secrets.
"""

import os
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BeforeValidator, Field, HttpUrl, SecretStr, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from newswire.object_storage.location import check_location
from newswire.observability.json_logging import parse_levels
from newswire.storage.redis_client import CONNECTIONS
from newswire.storage.redis_url import names_cluster, parse_redis_url


def comma_separated(value: object) -> object:
    """Split a string at commas; other values are returned unchanged."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def duration(value: object) -> object:
    """Parse ``7d``, ``12h``, ``30m`` and ``90s``, in addition to ISO 8601 durations, which pydantic parses."""
    units = {"d": "days", "h": "hours", "m": "minutes", "s": "seconds"}
    if isinstance(value, str) and value[-1:] in units and value[:-1].isdigit():
        return timedelta(**{units[value[-1]]: int(value[:-1])})
    return value


def proxy_networks(written: list[str]) -> list[str]:
    """Return addresses and networks in the form in which they are compared.

    Raises:
        ValueError: one of them is a name, or something else that no peer's address can equal.
    """
    if "*" in written:
        return ["*"]
    return [_network(each) for each in written]


def _network(written: str) -> str:
    try:
        network = ip_network(written, strict=False)
    except ValueError:
        raise ValueError(f"{written[:50]!r} is no address, no network such as 10.0.0.0/8, and not *") from None
    return str(network.network_address) if network.num_addresses == 1 else str(network)


Duration = Annotated[timedelta, BeforeValidator(duration)]
"""A length of time, in the forms of `duration`."""
Commas = BeforeValidator(comma_separated)
"""For use with `NoDecode`: a setting of several values, comma-separated in the environment."""


MAX_FILE_BYTES = 1024 * 1024
"""Maximum size of the file of a setting."""
_NOT_SET_IF_EMPTY = (NoneType, bool, int, float, timedelta, Path)
"""The types of the defaults of settings for which an empty value means nothing. An empty list, or text, may be meant."""


class SettingsError(ValueError):
    """A ``NEWSWIRE_…_FILE`` cannot be used; the message names the variable and the reason, not the value."""


def read_setting_file(name: str) -> str | None:
    """Return the content of the file that the variable ``<name>_FILE`` names; None if that is not set.

    Raises:
        SettingsError: the file cannot be used, or the value is set in the variable ``<name>`` as well.
    """
    path = os.environ.get(f"{name}_FILE")
    if not path:
        return None
    if os.environ.get(name):
        raise SettingsError(f"{name} and {name}_FILE are both set; remove one of them")
    try:
        with Path(path).open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
        text = content.decode("utf-8-sig")  # editors on Windows begin files with a mark
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise SettingsError(f"{name}_FILE: {path} cannot be read: {reason}") from error
    if len(content) > MAX_FILE_BYTES:
        raise SettingsError(f"{name}_FILE: {path} has more than {MAX_FILE_BYTES:,} bytes")
    if not text.strip():
        raise SettingsError(f"{name}_FILE: {path} is empty; write the value into it, or remove the variable")
    return text


class FilesOfSettings(PydanticBaseSettingsSource):
    """Reads the files that ``NEWSWIRE_…_FILE`` variables name."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Return the content of a setting's file, or None if no file is named."""
        return read_setting_file(f"{self.config['env_prefix']}{field_name.upper()}"), field_name, False

    def __call__(self) -> dict[str, Any]:
        """Return the values of all files, by field."""
        found = {name: self.get_field_value(field, name)[0] for name, field in self.settings_cls.model_fields.items()}
        return {name: value for name, value in found.items() if value is not None}


class Settings(BaseSettings):
    """Settings common to all services; each service adds its own in a subclass."""

    model_config = SettingsConfigDict(env_prefix="NEWSWIRE_", extra="ignore", hide_input_in_errors=True)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read arguments, then the files that variables name, then variables: an empty one does not hide its file."""
        return init_settings, FilesOfSettings(settings_cls), env_settings

    redis_url: SecretStr = SecretStr("redis://127.0.0.1:6379/0")
    delivery_redis_url: SecretStr | None = None
    redis_min_replicas: int = Field(default=0, ge=0, le=16)
    """How many replicas of Redis must have a write before it is acknowledged and anybody is notified of it; 0: none."""
    redis_connections: int = Field(default=CONNECTIONS, ge=16, le=10_000)
    """Maximum of connections of each client of Redis; calls wait for a free one. Ingest and search have two, notify three."""
    namespace: str = Field(default="newswire", pattern=r"^([a-z][a-z0-9_-]{0,39}|\{[a-z][a-z0-9_-]{0,39}\})$")
    """The prefix of all keys and indexes; in braces, it is a hash tag, and all keys are in one slot of a Redis Cluster. The
    address of a cluster adds the braces."""
    public_url: HttpUrl = HttpUrl("http://127.0.0.1:8000")
    public_read: bool = True
    hub: bool = True
    """Whether notify runs the WebSub hub at ``/hub`` of the public URL. Public feeds name it."""
    data_dir: Path = Path(".newswire")
    stream_retention: Duration = timedelta(days=7)
    dead_letter_limit: int = Field(default=100, ge=0)
    """How many of the last 1,000 stream entries a consumer may reject before it stops; 0: any number."""
    audit_retention: Duration = timedelta(days=365)
    """How long entries of the audit log are kept."""
    aof_rewrite_after: Duration = Field(default=timedelta(days=1), ge=timedelta(0))
    """How long retracted text may stay in Redis's append-only file before it is rewritten; zero: until Redis rewrites it."""
    archive_url: Annotated[str, AfterValidator(check_location)] | None = None
    """Where the texts of old versions are kept instead of Redis: ``file:///folder`` or ``s3://bucket/prefix?endpoint=…&region=…``."""
    archive_after_days: int = Field(default=90, ge=1, le=36_500)
    """The age in days at which a version's text is moved to the archive."""
    archive_access_key_id: SecretStr | None = None
    """With ``archive_secret_access_key``, for a bucket; by default those of the environment (``AWS_…``) or of the machine."""
    archive_secret_access_key: SecretStr | None = None
    cors_origins: Annotated[list[str], NoDecode, Commas] = ["*"]
    trusted_proxies: Annotated[list[str], NoDecode, Commas, AfterValidator(proxy_networks)] = ["127.0.0.1", "::1"]
    """Addresses and networks of proxies whose ``X-Forwarded-For`` is trusted; ``*``: every peer."""
    secret_key: Annotated[SecretStr, Field(min_length=32)] | None = None
    """The signing secret of cursors and stream tokens, the same for all services and replicas; by default it is
    generated when first needed, and stored in Redis.
    """
    secret_key_previous: Annotated[SecretStr, Field(min_length=32)] | None = None
    """The previous ``secret_key``: tokens signed with it are accepted while the new one is being introduced."""
    read_rate: float = Field(default=300, ge=0, le=1_000_000, allow_inf_nan=False)
    """Units per second that one client address (for IPv6, a /64) may read without a key, averaged over ten seconds, per process: an
    article costs 1, a list 2, a search, feed, sitemap, page of events or stream 4. 0: no limit.
    """
    read_rate_per_key: float = Field(default=600, ge=0, le=1_000_000, allow_inf_nan=False)
    """Like ``read_rate``, for one key."""
    read_concurrency: int = Field(default=64, ge=0)
    """Concurrent read requests of one client address in a process; 0: no limit."""
    read_concurrency_per_key: int = Field(default=64, ge=0)
    """Like ``read_concurrency``, for one key."""
    read_slots: int = Field(default=16, ge=0)
    """Read requests that a process handles at a time; others wait, and clients take turns. 0: no limit."""
    authentication_failures: int = Field(default=100, ge=0)
    """Rejected keys of one client address per minute and process, before the address is throttled; 0: no limit."""
    connections: int = Field(default=12_000, ge=0)
    """Open connections of a process, including live streams; 0: no limit. At the limit, idle ones are closed for new ones."""
    connections_per_address: int = Field(default=500, ge=0)
    """Open connections of one client address (for IPv6, a /64), except trusted proxies; 0: no limit."""
    request_head_bytes: int = Field(default=32 * 1024, ge=1024, le=1024 * 1024)
    """Maximum size of the request line and headers of a request, in bytes."""
    request_head_timeout: float = Field(default=10.0, gt=0)
    """Seconds within which the request line and headers must arrive."""
    connection_idle_timeout: float = Field(default=15.0, gt=0)
    """Seconds that a connection may stay open between two requests."""
    proxy_idle_timeout: float = Field(default=620.0, gt=0)
    """Like ``connection_idle_timeout``, for connections of trusted proxies, also before their first request. Longer than proxies
    keep them (60 s to 10 minutes): one that sends a request at the moment when its connection is closed answers with 502."""
    connection_stall_timeout: float = Field(default=20.0, gt=0)
    """Seconds by which the sending of a body, or the reading of a response, may fall behind the minimum rate."""
    connection_min_rate: float = Field(default=500.0, gt=0)
    """The minimum rate of bodies and responses, in bytes per second."""
    connection_buffer_bytes: int = Field(default=32 * 1024 * 1024, ge=1024 * 1024)
    """Bytes of unfinished bodies and unread responses that a process keeps; beyond that, the slowest connections are closed."""
    shutdown_delay: float = Field(default=0.0, ge=0, le=600)
    """Seconds for which a process keeps serving requests after SIGTERM, so that load balancers first see ``/readyz`` respond
    with 503."""
    log_level: str = "info"
    """The least level of log lines, for all loggers and for named ones: ``warning,newswire_notify=debug``."""
    allow_volatile: bool = False
    """Accept a Redis that keeps nothing on disk or may evict (for tests only): otherwise ingest and notify do not become ready."""

    @model_validator(mode="before")
    @classmethod
    def _as_meant(cls, values: object) -> object:
        """Remove line breaks at the ends of values: secrets that were made of files have them, and nobody sees them.

        Then leave out empty values where an empty one means nothing: Docker Compose makes one of ``${NAME:-}``, and a number could
        not be read, a folder would be the current one, and a signing secret would be guessable.
        """
        if not isinstance(values, dict):
            return values
        read = {name: value.rstrip("\r\n") if isinstance(value, str) else value for name, value in values.items()}
        return {name: value for name, value in read.items() if value != "" or not cls._is_unset_if_empty(name)}

    @classmethod
    def _is_unset_if_empty(cls, name: str) -> bool:
        field = cls.model_fields.get(name)
        return field is not None and isinstance(field.default, _NOT_SET_IF_EMPTY)

    @field_validator("redis_url", "delivery_redis_url")
    @classmethod
    def _redis_addresses(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            parse_redis_url(value.get_secret_value())
        return value

    @model_validator(mode="after")
    def _hash_tag(self) -> Self:
        if names_cluster(self.redis_url.get_secret_value()) and not self.namespace.startswith("{"):
            self.namespace = f"{{{self.namespace}}}"
        return self

    @field_validator("log_level")
    @classmethod
    def _levels(cls, value: str) -> str:
        parse_levels(value)
        return value

    @property
    def hub_url(self) -> str | None:
        """The public URL of the WebSub hub; None if there is none. It pushes public feeds only."""
        return f"{self.site}/hub" if self.hub and self.public_read else None

    @property
    def site(self) -> str:
        """The public address without a trailing slash, as a prefix for paths."""
        return str(self.public_url).rstrip("/")
