"""Builds the storage and the service of images from the settings."""

from redis.asyncio import Redis

from newswire.keys import Keyspace
from newswire.object_storage.folder import FolderStorage
from newswire.object_storage.s3 import S3Storage
from newswire.object_storage.storage import ObjectStorage
from newswire.timestamps import utc_now
from newswire_ingest.media.service import MediaService
from newswire_ingest.settings import IngestSettings


def media_storage(settings: IngestSettings) -> ObjectStorage:
    """Return the bucket if one is set, else the folder."""
    if settings.media_s3_bucket is None:
        return FolderStorage(settings.media_folder)
    key, secret = settings.media_s3_access_key_id, settings.media_s3_secret_access_key
    return S3Storage(
        settings.media_s3_bucket,
        prefix=settings.media_s3_prefix,
        endpoint=settings.media_s3_endpoint,
        region=settings.media_s3_region,
        access_key_id=key.get_secret_value() if key else None,
        secret_access_key=secret.get_secret_value() if secret else None,
    )


def media_service(redis: "Redis", keys: Keyspace, settings: IngestSettings) -> MediaService:
    """Return the service of images with an open client."""
    storage, space = media_storage(settings), settings.media_space_bytes
    return MediaService(redis, keys, storage, settings.site, settings.media_max_bytes, utc_now, space)
