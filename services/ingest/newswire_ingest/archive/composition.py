"""Builds the archiver from the settings."""

from redis.asyncio import Redis

from newswire.keys import Keyspace
from newswire.settings import Settings
from newswire.storage.document_archive import open_archive
from newswire_ingest.archive.archiver import Archiver
from newswire_ingest.archive.repository import ArchiveRepository


def archiver(redis: "Redis", keys: Keyspace, settings: Settings) -> Archiver:
    """Return the archiver of an installation."""
    return Archiver(ArchiveRepository(redis, keys), open_archive(settings).storage, settings.archive_after_days)
