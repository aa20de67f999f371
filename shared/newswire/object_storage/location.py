"""The address of a storage: ``file:///folder``, or ``s3://bucket/prefix?endpoint=https://…&region=…``."""

from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from newswire.object_storage.folder import FolderStorage
from newswire.object_storage.storage import ObjectStorage

_OPTIONS = frozenset(("endpoint", "region"))


def check_location(address: str) -> str:
    """Return an address, if it can be used.

    Raises:
        ValueError: it cannot; the message says what is accepted.
    """
    _parse(address)
    return address


def open_location(
    address: str, access_key_id: str | None = None, secret_access_key: str | None = None
) -> ObjectStorage:
    """Return the storage at an address. Without keys, a bucket is opened with those of the environment or of the machine.

    Raises:
        ValueError: the address cannot be used.
    """
    bucket, path, options = _parse(address)
    if not bucket:
        return FolderStorage(Path(path))
    from newswire.object_storage.s3 import S3Storage  # it loads a large library, which a folder does not need

    return S3Storage(bucket, prefix=path, access_key_id=access_key_id, secret_access_key=secret_access_key, **options)


def _parse(address: str) -> tuple[str, str, dict[str, str]]:
    """Return bucket ('' for a folder), path or prefix, and the options of a bucket."""
    url = urlsplit(address)
    options = dict(parse_qsl(url.query, keep_blank_values=True))
    if url.scheme == "file" and not url.netloc and url.path.startswith("/") and not options:
        return "", unquote(url.path), {}
    known = url.scheme == "s3" and url.netloc and "@" not in url.netloc and _OPTIONS.issuperset(options)
    if not known or not options.get("endpoint", "https://").startswith(("https://", "http://")):
        raise ValueError("is neither file:///folder nor s3://bucket/prefix?endpoint=https://host&region=name")
    return url.netloc, unquote(url.path), options
