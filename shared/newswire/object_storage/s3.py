"""Stores files in an S3 bucket, or in any server that speaks its protocol."""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import Any

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

from newswire.object_storage.storage import StorageError, StoredFile

_CHUNK_BYTES = 256 * 1024
MAX_REASON_CHARS = 200
_CODE, _MESSAGE = re.compile("<Code>([^<]{1,100})</Code>"), re.compile("<Message>([^<]{1,1000})</Message>")
_CLIENT: Any = {"timeout": timedelta(seconds=30), "connect_timeout": timedelta(seconds=5)}
_RETRIES: Any = {"max_retries": 2, "retry_timeout": timedelta(seconds=30)}


class S3Storage:
    """A bucket, or the part of it under a prefix. A file of a bucket is always complete."""

    def __init__(
        self,
        bucket: str,
        *,
        prefix: str = "",
        endpoint: str | None = None,
        region: str | None = None,
        access_key_id: str | None = None,
        secret_access_key: str | None = None,
    ) -> None:
        """Without keys, they are those of the environment or of the machine, as in all programs for S3."""
        options: dict[str, Any] = {"endpoint": endpoint, "access_key_id": access_key_id}
        options |= {"region": region or "us-east-1", "secret_access_key": secret_access_key}
        given = {name: value for name, value in options.items() if value is not None}
        plain = bool(endpoint and endpoint.startswith("http://"))
        self._bucket = bucket
        self.keeps_versions = False
        self._store = S3Store(
            bucket,
            prefix=prefix.strip("/") or None,
            client_options=_CLIENT | {"allow_http": plain},
            retry_config=_RETRIES,
            **given,
        )

    async def write(self, path: str, content: bytes) -> None:
        """Upload a file."""
        try:
            put = await obstore.put_async(self._store, path, content)
            self.keeps_versions = put.get("version") not in (None, "", "null")
        except (BaseError, OSError) as error:
            raise self._failure("written to", error) from error

    async def open(self, path: str) -> StoredFile | None:
        """Begin to download a file."""
        try:
            found = await obstore.get_async(self._store, path)
        except FileNotFoundError:
            return None
        except (BaseError, OSError) as error:
            raise self._failure("read", error) from error
        return StoredFile(found.meta["size"], self._chunks(found))

    async def read_small(self, files: Sequence[tuple[str, int]]) -> list[bytes | StorageError | None]:
        """Request all files at once: the caller bounds their number."""
        return await asyncio.gather(*(self._read_beginning(*file) for file in files))

    async def _read_beginning(self, path: str, size: int) -> bytes | StorageError | None:
        try:
            found = await obstore.get_async(self._store, path)
            if found.meta["size"] <= size:
                return bytes(await found.bytes_async())
            async for chunk in found.stream(min_chunk_size=size):
                return bytes(chunk)[:size]
            return b""
        except FileNotFoundError:
            return None
        except (BaseError, OSError) as error:
            return self._failure("read", error)

    async def delete_folder(self, path: str) -> None:
        """Delete everything under a path."""
        try:
            async for page in obstore.list(self._store, prefix=path):
                await obstore.delete_async(self._store, [each["path"] for each in page])
            # A bucket answers 200 to a deletion that it refuses: of an object that is locked, for example.
            async for page in obstore.list(self._store, prefix=path):
                if page:
                    raise StorageError(f"the bucket {self._bucket} keeps {page[0]['path']}; is it locked?")
        except FileNotFoundError:
            return
        except (BaseError, OSError) as error:
            raise self._failure("cleared", error) from error

    async def check(self) -> str | None:
        """Return why the bucket cannot be read."""
        try:
            await obstore.list_with_delimiter_async(self._store)
        except (BaseError, OSError) as error:
            return str(self._failure("read", error))
        return None

    async def _chunks(self, found: Any) -> AsyncIterator[bytes]:
        try:
            async for chunk in found.stream(min_chunk_size=_CHUNK_BYTES):
                yield bytes(chunk)
        except (BaseError, OSError) as error:
            raise self._failure("read", error) from error

    def _failure(self, what: str, error: Exception) -> StorageError:
        reason = " ".join(str(error).partition("Debug source")[0].split())
        if code := _CODE.search(reason):  # what the bucket said is behind addresses that may fill all of the text
            message = _MESSAGE.search(reason)
            reason = f"{code[1]}: {message[1]}" if message else code[1]
        reason = reason[:MAX_REASON_CHARS]
        return StorageError(f"the bucket {self._bucket} cannot be {what}: {reason}")
