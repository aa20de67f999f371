"""The settings of the search service."""

from typing import Annotated, Literal, Self

from pydantic import Field, FilePath, HttpUrl, SecretStr, model_validator
from pydantic_settings import NoDecode

from newswire.settings import Commas
from newswire.site.settings import SiteSettings


class SearchSettings(SiteSettings):
    """The settings of search and of the reader site, in addition to the common ones."""

    index: Literal["elasticsearch", "embedded"] = "embedded"
    elasticsearch_url: Annotated[list[HttpUrl], NoDecode, Commas, Field(min_length=1, max_length=100)] = [
        HttpUrl("http://127.0.0.1:9200")
    ]
    """The addresses of nodes of one cluster. Requests are spread over them, and a node that fails is avoided for a while."""
    elasticsearch_cloud_id: str | None = None
    """The cluster of a hosted deployment, instead of addresses."""
    elasticsearch_username: str | None = None
    elasticsearch_password: SecretStr | None = None
    elasticsearch_api_key: SecretStr | None = None
    """A key (encoded, as Elasticsearch returns it) instead of user and password."""
    elasticsearch_ca_certs: FilePath | None = None
    """A PEM file with the certificate authorities trusted for an https Elasticsearch; by default the public ones."""
    elasticsearch_client_cert: FilePath | None = None
    """A PEM file with the certificate by which Elasticsearch knows this client."""
    elasticsearch_client_key: FilePath | None = None
    """Its private key, if that is not in the same file."""
    elasticsearch_shards: int = Field(default=1, ge=1)
    elasticsearch_replicas: int | None = Field(default=None, ge=0)
    """Copies of each shard besides the first; by default one as soon as there is a second node."""
    elasticsearch_connections: int = Field(default=10, ge=1, le=1000)
    """Maximum of connections to each node; requests wait for a free one."""
    elasticsearch_refresh_ms: int = Field(default=200, ge=10)
    feed_entries: int = Field(default=50, ge=1, le=100)
    feed_content: Literal["summary", "full"] = "summary"

    @model_validator(mode="after")
    def _one_way_to_reach_the_cluster(self) -> Self:
        if (self.elasticsearch_username is None) != (self.elasticsearch_password is None):
            raise ValueError("NEWSWIRE_ELASTICSEARCH_USERNAME and NEWSWIRE_ELASTICSEARCH_PASSWORD are set together")
        if self.elasticsearch_api_key is not None and self.elasticsearch_username is not None:
            raise ValueError("set NEWSWIRE_ELASTICSEARCH_API_KEY or a user with a password, not both")
        if self.elasticsearch_cloud_id is not None and "elasticsearch_url" in self.model_fields_set:
            raise ValueError("set NEWSWIRE_ELASTICSEARCH_CLOUD_ID or NEWSWIRE_ELASTICSEARCH_URL, not both")
        if self.elasticsearch_client_key is not None and self.elasticsearch_client_cert is None:
            raise ValueError("NEWSWIRE_ELASTICSEARCH_CLIENT_KEY needs NEWSWIRE_ELASTICSEARCH_CLIENT_CERT")
        return self
