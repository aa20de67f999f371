"""The settings every service reads, from environment variables that start with ``NEWSWIRE_``.

For each ``NEWSWIRE_X`` there is a ``NEWSWIRE_X_FILE``: the path of a file that holds the value, as secrets are mounted by
Docker and Kubernetes.
"""

import os
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, HttpUrl, SecretStr, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict


def comma_separated(value: object) -> object:
    """Split a string at commas; other values are returned unchanged."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def duration(value: object) -> object:
    """Read ``7d``, ``12h`` and ``30m``, beside the ISO 8601 durations and seconds that pydantic reads by itself."""
    units = {"d": "days", "h": "hours", "m": "minutes"}
    if isinstance(value, str) and value[-1:] in units and value[:-1].isdigit():
        return timedelta(**{units[value[-1]]: int(value[:-1])})
    return value


Commas = BeforeValidator(comma_separated)
"""Beside `NoDecode`: a setting of several values, which environments give as one text."""


class SettingsError(ValueError):
    """A ``NEWSWIRE_…_FILE`` that cannot be used; the message names the variable and the reason, not the value."""


class FilesOfSettings(PydanticBaseSettingsSource):
    """Reads the files that ``NEWSWIRE_…_FILE`` name, without a line break at their end."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Return the content of a setting's file, or None where no file is named."""
        name = f"{self.config['env_prefix']}{field_name.upper()}"
        path = os.environ.get(f"{name}_FILE")
        if path is None:
            return None, field_name, False
        if name in os.environ:
            raise SettingsError(f"{name} and {name}_FILE are both set; remove one of them")
        try:
            text = Path(path).read_text("utf-8")
        except (OSError, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
            raise SettingsError(f"{name}_FILE: {path} cannot be read: {reason}") from error
        return text.removesuffix("\n").removesuffix("\r"), field_name, False

    def __call__(self) -> dict[str, Any]:
        """Return the values that files hold, by field."""
        found = {name: self.get_field_value(field, name)[0] for name, field in self.settings_cls.model_fields.items()}
        return {name: value for name, value in found.items() if value is not None}


class Settings(BaseSettings):
    """Settings common to the three services; each service adds its own in a subclass."""

    model_config = SettingsConfigDict(env_prefix="NEWSWIRE_", extra="ignore")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read arguments, then variables, then the files that variables name."""
        return init_settings, env_settings, FilesOfSettings(settings_cls)

    redis_url: SecretStr = SecretStr("redis://127.0.0.1:6379/0")
    delivery_redis_url: SecretStr | None = None
    namespace: str = Field(default="newswire", pattern=r"^[a-z][a-z0-9_-]{0,39}$")
    public_url: HttpUrl = HttpUrl("http://127.0.0.1:8000")
    public_read: bool = True
    data_dir: Path = Path(".newswire")
    stream_retention: timedelta = timedelta(days=7)
    dead_letter_limit: int = Field(default=100, ge=0)
    """How many of the last 1,000 stream entries a consumer may reject before it stops; 0: any number."""
    audit_retention: timedelta = timedelta(days=365)
    """How long entries of the audit log are kept."""
    aof_rewrite_after: timedelta = Field(default=timedelta(days=1), ge=timedelta(0))
    """How long retracted text may stay in the append-only file of Redis before that is rewritten; zero: until Redis does it."""
    cors_origins: Annotated[list[str], NoDecode, Commas] = ["*"]
    trusted_proxies: Annotated[list[str], NoDecode, Commas] = ["127.0.0.1"]
    """Addresses and networks of proxies whose ``X-Forwarded-For`` is trusted."""
    secret_key: Annotated[SecretStr, Field(min_length=32)] | None = None
    """What cursors and stream tokens are signed with, the same for all services and replicas; by default one that is made when
    it is first needed and kept in Redis."""
    secret_key_previous: SecretStr | None = None
    """The ``secret_key`` before: tokens signed with it are accepted while the new one is being introduced."""
    read_rate: float = Field(default=300, ge=0, le=1_000_000, allow_inf_nan=False)
    """Units a second that one client address (of IPv6, one /64) may read without a key, averaged over ten seconds and in each
    process: an article costs 1, a list 2, a search, feed, sitemap, page of events or stream 4. 0 for any number."""
    read_rate_per_key: float = Field(default=600, ge=0, le=1_000_000, allow_inf_nan=False)
    """As ``read_rate``, of one key."""
    read_concurrency: int = Field(default=64, ge=0)
    """Reading requests that one client address may have under way in a process; 0 for any number."""
    read_concurrency_per_key: int = Field(default=64, ge=0)
    """As ``read_concurrency``, of one key."""
    read_slots: int = Field(default=16, ge=0)
    """Reading requests that a process works on at a time; others wait, and clients take turns. 0 for any number."""
    authentication_failures: int = Field(default=100, ge=0)
    """Keys that may be refused to one client address in a minute and process, before it is slowed down; 0 for any number."""
    connections: int = Field(default=12_000, ge=0)
    """Connections that a process holds open, live streams included; 0 for any number. Where there are as many, those that are
    idle or slowest make room for new ones."""
    connections_per_address: int = Field(default=500, ge=0)
    """Of these, from one client address (of IPv6, from one /64), trusted proxies excepted; 0 for any number."""
    request_head_bytes: int = Field(default=32 * 1024, ge=1024, le=1024 * 1024)
    """The request line and the headers of a request, in bytes."""
    request_head_timeout: float = Field(default=10.0, gt=0)
    """Seconds within which a request's line and headers must have come."""
    connection_idle_timeout: float = Field(default=15.0, gt=0)
    """Seconds that a connection may stay open between two requests."""
    connection_stall_timeout: float = Field(default=20.0, gt=0)
    """Seconds by which a body that is sent, or an answer that is read, may fall behind the slowest rate."""
    connection_min_rate: float = Field(default=500.0, gt=0)
    """The slowest rate of bodies and answers, in bytes a second."""
    connection_buffer_bytes: int = Field(default=32 * 1024 * 1024, ge=1024 * 1024)
    """What a process keeps of unfinished bodies and unread answers, in bytes; beyond it the slowest are cut off."""
    allow_volatile: bool = False
    """Accept a Redis that keeps nothing on disk or may evict (tests only): ``/readyz`` says no otherwise."""

    @field_validator("stream_retention", "audit_retention", "aof_rewrite_after", mode="before")
    @classmethod
    def _durations(cls, value: object) -> object:
        return duration(value)

    @property
    def site(self) -> str:
        """The public address without a trailing slash, to put paths behind."""
        return str(self.public_url).rstrip("/")
