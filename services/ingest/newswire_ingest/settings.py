"""The settings of ingest."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_settings import NoDecode

from newswire.settings import Duration, Settings
from newswire.site.settings import DEFAULT_NAME
from newswire_ingest.openid.providers import MAX_PROVIDERS, OpenIdProvider, check_names, read_providers


class IngestSettings(Settings):
    """The settings of all services, and those of publishing."""

    idempotency_lifetime: Duration = timedelta(hours=24)
    """How long a repeated request is recognised."""
    require_if_match: bool = False
    """Reject changes without ``If-Match`` (428)."""
    publish_rate: float = Field(default=0, ge=0, le=1_000_000, allow_inf_nan=False)
    """Publishing requests per second and API key, averaged over ten seconds; 0 for no limit."""
    site_name: str = DEFAULT_NAME
    """The name of the installation on the pages behind the sign-in; readers see it too."""
    daily_quota: int = Field(default=0, ge=0)
    """New articles per account and day (UTC); 0 for no limit."""
    draft_limit: int = Field(default=10_000, ge=1, le=1_000_000)
    """Drafts per account, discarded ones included."""
    draft_space_bytes: int = Field(default=1024**3, ge=1024**2)
    """The space that the drafts of an account take with all revisions, compressed."""
    draft_revisions: int = Field(default=100, ge=1, le=1000)
    """Revisions kept of each draft."""
    draft_revision_age: Duration = timedelta(days=90)
    """How long revisions of a draft are kept; the current one is kept for as long as the draft."""
    discarded_draft_retention: Duration = timedelta(days=30)
    """How long a discarded draft can be recovered."""
    openid_providers: Annotated[
        list[OpenIdProvider], NoDecode, BeforeValidator(read_providers), AfterValidator(check_names)
    ] = Field(default=[], max_length=MAX_PROVIDERS)
    """The providers of OpenID Connect with which users can sign in, as JSON."""
    media_dir: Path | None = None
    """The folder of uploaded images; by default ``media`` in ``data_dir``. All replicas need the same one."""
    media_s3_bucket: str | None = Field(default=None, min_length=3, max_length=255)
    """The S3 bucket of uploaded images, instead of a folder."""
    media_s3_prefix: str = Field(default="", max_length=500)
    """The beginning of the names of all files in the bucket."""
    media_s3_endpoint: str | None = Field(default=None, pattern=r"^https?://\S+$")
    """The address of another server than Amazon's that speaks the protocol of S3."""
    media_s3_region: str | None = None
    media_s3_access_key_id: SecretStr | None = None
    """With ``media_s3_secret_access_key``; by default those of the environment (``AWS_…``) or of the machine."""
    media_s3_secret_access_key: SecretStr | None = None
    media_max_bytes: int = Field(default=20 * 1024 * 1024, ge=1024, le=100 * 1024 * 1024)
    """Maximum size of an uploaded image, in bytes."""
    media_space_bytes: int = Field(default=10 * 1024**3, ge=0)
    """The space that the images of an account take, without their smaller sizes; 0 for any."""
    import_max_bytes: int = Field(default=50 * 1024 * 1024, ge=1024, le=512 * 1024 * 1024)
    """Maximum size of a file that is imported by the desk, in bytes."""
    import_retention: Duration = Field(default=timedelta(days=30), ge=timedelta(hours=1))
    """How long imports are kept with their results; the articles stay."""
    media_unused_after: Duration = Field(default=timedelta(days=30), ge=timedelta(0))
    """How long an image is kept that no article and no draft uses; zero: for ever."""

    @property
    def media_folder(self) -> Path:
        """The folder of uploaded images."""
        return self.data_dir / "media" if self.media_dir is None else self.media_dir
