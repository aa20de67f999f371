"""What buckets answer now and then: too many requests, other credentials, half an object, deletions that are refused."""

import re
from collections.abc import AsyncIterator, Callable
from xml.sax.saxutils import escape, unescape

import pytest
from aiohttp import web

from newswire.object_storage.location import open_location
from newswire.object_storage.s3 import S3Storage
from newswire.object_storage.storage import StorageError, read_all
from newswire.storage import document_archive
from newswire.storage.article_records import pack
from newswire.storage.document_archive import (
    MARKER,
    DocumentArchive,
    DocumentMissingError,
    DocumentUnavailableError,
    Pointer,
)
from tests.servers.s3 import KEYS

TEXTS = [pack(b'{"title":"%d"}' % number) for number in range(3)]
VERSIONS = [(f"a{number:025}", 1) for number in range(3)]
POINTERS = [Pointer.to(text, 20) for text in TEXTS]
PATHS = [pointer.path(*version) for pointer, version in zip(POINTERS, VERSIONS, strict=True)]
STORED = [pointer.written().encode() for pointer in POINTERS]


class Bucket:
    """A bucket in memory that answers as a test wants: a real server does none of this when asked."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.fault: Callable[[web.Request, str], web.StreamResponse | None] = lambda *_: None
        self.locked = False
        self.version: str | None = None
        self.url = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        key = request.path.removeprefix("/texts").removeprefix("/")
        if (failing := self.fault(request, key)) is not None:
            return failing
        if request.method == "PUT":
            self.objects[key] = await request.read()
            return web.Response(headers={"ETag": '"x"'} | ({"x-amz-version-id": self.version} if self.version else {}))
        if request.method == "POST":
            return self._delete((await request.read()).decode())
        if not key:
            return self._list(request.query.get("prefix", ""))
        if key not in self.objects:
            return refused(404, "NoSuchKey")
        headers = {"ETag": '"x"', "Last-Modified": "Fri, 27 Nov 2026 12:00:00 GMT"}
        return web.Response(body=self.objects[key], headers=headers)

    def _delete(self, sent: str) -> web.Response:
        keys = [unescape(key) for key in re.findall("<Key>(.*?)</Key>", sent)]
        if self.locked:
            errors = "".join(f"<Error><Key>{escape(key)}</Key><Code>AccessDenied</Code></Error>" for key in keys)
            return web.Response(text=f"<DeleteResult>{errors}</DeleteResult>")
        for key in keys:
            self.objects.pop(key, None)
        deleted = "".join(f"<Deleted><Key>{escape(key)}</Key></Deleted>" for key in keys)
        return web.Response(text=f"<DeleteResult>{deleted}</DeleteResult>")

    def _list(self, prefix: str) -> web.Response:
        found = "".join(
            f"<Contents><Key>{escape(key)}</Key><Size>{len(content)}</Size><ETag>x</ETag>"
            "<LastModified>2026-11-27T12:00:00.000Z</LastModified></Contents>"
            for key, content in self.objects.items()
            if key.startswith(prefix)
        )
        return web.Response(text=f"<ListBucketResult><IsTruncated>false</IsTruncated>{found}</ListBucketResult>")


def refused(status: int, code: str) -> web.Response:
    return web.Response(status=status, text=f"<Error><Code>{code}</Code><Message>no</Message></Error>")


@pytest.fixture
async def bucket() -> AsyncIterator[Bucket]:
    found = Bucket()
    app = web.Application()
    app.router.add_route("*", "/{key:.*}", found.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    found.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield found
    await runner.cleanup()


@pytest.fixture
async def storage(bucket: Bucket) -> S3Storage:
    found = S3Storage("texts", endpoint=bucket.url, **KEYS)
    await found.write(MARKER, b"x")
    for path, text in zip(PATHS, TEXTS, strict=True):
        await found.write(path, text)
    return found


async def test_a_bucket_that_asks_for_fewer_requests_is_asked_again(bucket: Bucket, storage: S3Storage) -> None:
    answers = iter([refused(503, "SlowDown"), refused(429, "TooManyRequests"), refused(500, "InternalError")])
    bucket.fault = lambda _, key: next(answers, None) if key in PATHS else None
    assert await DocumentArchive(storage).resolve_all(VERSIONS, STORED) == TEXTS


@pytest.mark.parametrize("code", ["InvalidObjectState", "AccessDenied"])
async def test_one_object_that_is_refused_does_not_affect_the_others(
    bucket: Bucket, storage: S3Storage, code: str
) -> None:
    """An object that a rule of the bucket moved to a slow class, or that has permissions of its own."""
    bucket.fault = lambda _, key: refused(403, code) if key == PATHS[1] else None
    archive = DocumentArchive(storage)
    found = await archive.resolve_each(VERSIONS, STORED)
    assert (found[0], found[2]) == (TEXTS[0], TEXTS[2])
    assert isinstance(found[1], DocumentUnavailableError)
    assert not isinstance(found[1], DocumentMissingError)  # it is not lost
    assert await archive.resolve(*VERSIONS[0], STORED[0]) == TEXTS[0]  # reads do not fail at once


@pytest.mark.parametrize(
    ("status", "code"), [(400, "ExpiredToken"), (403, "RequestTimeTooSkewed"), (403, "InvalidAccessKeyId")]
)
async def test_credentials_or_a_clock_that_are_refused_lose_nothing(
    bucket: Bucket, storage: S3Storage, status: int, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    bucket.fault = lambda *_: refused(status, code)
    found = await DocumentArchive(storage).resolve_each(VERSIONS, STORED)
    assert {type(each) for each in found} == {DocumentUnavailableError}
    (record,) = caplog.records
    assert f"{code}: no" in record.__dict__["reason"]
    with pytest.raises(StorageError, match=code):
        await storage.write(PATHS[0], b"x")
    with pytest.raises(StorageError, match=code):
        await storage.delete_folder("a")
    assert code in str(await storage.check())


async def test_a_bucket_that_is_gone_is_no_archive_without_texts(bucket: Bucket, storage: S3Storage) -> None:
    bucket.fault = lambda *_: refused(404, "NoSuchBucket")
    found = await DocumentArchive(storage).resolve_each(VERSIONS, STORED)
    assert {type(each) for each in found} == {DocumentUnavailableError}


async def test_an_object_that_breaks_off_is_read_again(bucket: Bucket, storage: S3Storage) -> None:
    cut = iter([True, True])

    def cut_off(request: web.Request, key: str) -> web.StreamResponse | None:
        if key != PATHS[0] or not next(cut, False):
            return None
        response = web.Response(body=TEXTS[0][:-4])
        response.headers["Content-Length"] = str(len(TEXTS[0]))
        response.headers["ETag"] = '"x"'
        response.force_close()
        return response

    bucket.fault = cut_off
    assert await DocumentArchive(storage).resolve(*VERSIONS[0], STORED[0]) == TEXTS[0]


async def test_an_object_with_another_length_is_lost_and_nothing_else(bucket: Bucket, storage: S3Storage) -> None:
    bucket.objects[PATHS[0]] = b""
    bucket.objects[PATHS[2]] = TEXTS[2] + b"more"
    found = await DocumentArchive(storage).resolve_each(VERSIONS, STORED)
    assert [type(each) for each in found] == [DocumentMissingError, bytes, DocumentMissingError]


async def test_a_deletion_that_a_lock_refuses_is_no_success(bucket: Bucket, storage: S3Storage) -> None:
    bucket.locked = True
    with pytest.raises(StorageError):
        await storage.delete_folder(PATHS[0].rpartition("/")[0])
    bucket.locked = False
    await storage.delete_folder(PATHS[0].rpartition("/")[0])
    assert PATHS[0] not in bucket.objects


async def test_a_bucket_with_versioning_is_recognised(bucket: Bucket, storage: S3Storage) -> None:
    assert not storage.keeps_versions
    bucket.version = "null"  # suspended
    await storage.write(PATHS[0], TEXTS[0])
    assert not storage.keeps_versions
    bucket.version = "3/L4kqtJlcpXroDTDmJ+rmSpXd3dIbrHY"
    await storage.write(PATHS[0], TEXTS[0])
    assert storage.keeps_versions


async def test_a_prefix_may_have_any_characters(bucket: Bucket) -> None:
    address = f"s3://texts/Zeitung%20%C3%A4%2B1/%25old?endpoint={bucket.url}"
    storage = open_location(address, KEYS["access_key_id"], KEYS["secret_access_key"])
    await storage.write(PATHS[0], TEXTS[0])
    assert list(bucket.objects) == [f"Zeitung ä+1/%old/{PATHS[0]}"]
    assert await read_all(storage, PATHS[0]) == TEXTS[0]
    await storage.delete_folder(PATHS[0].rpartition("/")[0])
    assert bucket.objects == {}


async def test_reads_fail_at_once_only_while_the_bucket_fails(
    bucket: Bucket, storage: S3Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(document_archive, "FAILING_SECONDS", 60.0)
    archive = DocumentArchive(storage)
    bucket.fault = lambda *_: refused(403, "ExpiredToken")
    with pytest.raises(DocumentUnavailableError):
        await archive.resolve(*VERSIONS[0], STORED[0])
    requests: list[str] = []

    def count(request: web.Request, key: str) -> None:
        requests.append(key)

    bucket.fault = count
    with pytest.raises(DocumentUnavailableError, match="does not answer at the moment"):
        await archive.resolve(*VERSIONS[0], STORED[0])
    assert requests == []
