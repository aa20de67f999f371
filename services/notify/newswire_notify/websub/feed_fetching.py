"""Fetches this site's feeds over HTTP, with If-None-Match."""

import asyncio
import logging
import re
from types import TracebackType
from typing import TYPE_CHECKING, Self

import orjson
from yarl import URL

from newswire.http.problem_types import PROBLEM_URN
from newswire_notify.websub.models import Feed
from newswire_notify.websub.verification import USER_AGENT

if TYPE_CHECKING:
    import aiohttp

log = logging.getLogger(__name__)

TIMEOUT_SECONDS = 30.0
MAX_FEED_BYTES = 16 * 1024 * 1024
MAX_PROBLEM_BYTES = 64 * 1024
MAX_CONNECTIONS = 8
_DECODED = frozenset(("identity", "gzip", "deflate"))
"""Content codings of responses that the client decodes."""
_SELF_LINK = re.compile(r'<([!-;=?-~]+)>\s*;[^<>]*?\brel="?self\b')
_REFUSALS = frozenset((401, 403, 404, 410, 422))
"""Statuses of a feed that does not exist, or that the public may not read."""


class FeedUnavailableError(Exception):
    """The feed cannot be fetched at the moment; the message says why. ``retry_after``: seconds."""

    def __init__(self, reason: str, retry_after: float = 2.0) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class NotAFeedError(Exception):
    """There is no such feed, or the public may not read it; the message says why, to subscribers."""


class FeedFetcher:
    """Fetches feeds from one server. ``site`` is the public URL, which topics begin with."""

    def __init__(self, site: str, feeds_url: str | None = None) -> None:
        self._site = site
        self._base = (feeds_url or site).rstrip("/")
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Open it; nothing is imported or connected before the first feed is fetched."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close its connections."""
        if self._session is not None:
            await self._session.close()

    async def fetch(self, topic: str, etag: str | None = None) -> Feed | None:
        """Return the content of a topic, or None if it is what ``etag`` says.

        Raises:
            FeedUnavailableError: it cannot be fetched at the moment.
            NotAFeedError: there is no such feed for the public.
        """
        import aiohttp

        session = self._opened()
        headers = {"User-Agent": USER_AGENT, "Accept": "*/*", "Accept-Encoding": "identity"}
        if etag is not None:
            headers["If-None-Match"] = etag
        url = URL(self._base + topic.removeprefix(self._site), encoded=True)
        try:
            async with session.get(url, headers=headers, allow_redirects=False) as response:
                return await _feed(topic, self._site, response)
        except (aiohttp.ClientError, TimeoutError, OSError, asyncio.IncompleteReadError) as error:
            raise FeedUnavailableError(f"{type(error).__name__}: {error}") from error

    def _opened(self) -> "aiohttp.ClientSession":
        if self._session is None:
            import aiohttp  # takes a fifth of the time for importing notify

            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=MAX_CONNECTIONS),
                timeout=aiohttp.ClientTimeout(total=TIMEOUT_SECONDS),
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
            )
        return self._session


async def _feed(topic: str, site: str, response: "aiohttp.ClientResponse") -> Feed | None:
    if response.status == 304:
        return None
    if response.status == 200:
        coding = response.headers.get("Content-Encoding", "identity").lower()
        if coding not in _DECODED:  # a proxy compresses although this client does not accept it
            raise FeedUnavailableError(f"the response is encoded as {coding[:20]}", 300.0)
        body = await _read(response, MAX_FEED_BYTES)
        address = _self_link(response.headers.getall("Link", []), site) or topic
        return Feed(address, response.headers.get("ETag"), response.headers.get("Content-Type", ""), body)
    if response.status in _REFUSALS and (detail := _problem(await _read(response, MAX_PROBLEM_BYTES))):
        raise NotAFeedError(detail)
    retry_after = response.headers.get("Retry-After", "")
    seconds = min(float(retry_after[:4]), 300.0) if retry_after.isascii() and retry_after.isdigit() else 2.0
    raise FeedUnavailableError(f"status {response.status}", max(seconds, 1.0))


def _self_link(headers: list[str], site: str) -> str | None:
    """Return the URL on this site that a response names as its own (RFC 8288), or None without one."""
    found = [each for header in headers for each in _SELF_LINK.findall(header) if each.startswith(f"{site}/")]
    return found[0] if found else None


async def _read(response: "aiohttp.ClientResponse", limit: int) -> bytes:
    chunks, size = [], 0
    async for chunk in response.content.iter_any():
        size += len(chunk)
        if size > limit:
            raise FeedUnavailableError(f"the response has more than {limit:,} bytes", 300.0)
        chunks.append(chunk)
    return b"".join(chunks)


def _problem(body: bytes) -> str | None:
    """Return the detail of one of Newswire's own problem documents; None for the error page of a proxy."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(document, dict) or not str(document.get("type", "")).startswith(PROBLEM_URN):
        return None
    return str(document.get("detail", ""))[:200] or "it is not a public feed"
