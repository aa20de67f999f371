"""The settings of the search service."""

from typing import Literal

from pydantic import Field, FilePath, HttpUrl, SecretStr

from newswire.site.settings import SiteSettings


class SearchSettings(SiteSettings):
    """The settings of search and of the reader site, in addition to the common ones."""

    index: Literal["elasticsearch", "embedded"] = "embedded"
    elasticsearch_url: HttpUrl = HttpUrl("http://127.0.0.1:9200")
    elasticsearch_username: str | None = None
    elasticsearch_password: SecretStr | None = None
    elasticsearch_ca_certs: FilePath | None = None
    """A PEM file with the certificate authorities trusted for an https Elasticsearch; by default the public ones."""
    elasticsearch_shards: int = Field(default=1, ge=1)
    elasticsearch_replicas: int = Field(default=0, ge=0)
    elasticsearch_refresh_ms: int = Field(default=200, ge=10)
    feed_entries: int = Field(default=50, ge=1, le=100)
    feed_content: Literal["summary", "full"] = "summary"
