"""Requests to providers: no redirects, and bounds on bytes and time, so that a hostile or broken provider costs little."""

import asyncio
import ssl
from collections.abc import Mapping
from functools import cache
from typing import Any

import httpx
import orjson

from newswire_ingest.openid.errors import ProviderUnavailableError

MAX_BYTES = 256 * 1024
"""The keys of the largest providers take some 20 KiB."""
SECONDS = 5.0
"""From the request to the last byte of its answer."""


async def fetch_json(
    method: str, address: str, *, headers: Mapping[str, str] | None = None, body: str | None = None
) -> tuple[int, dict[str, Any]]:
    """Return status and JSON object of an answer.

    Raises:
        ProviderUnavailableError: there is none, it takes too long, is too large, or is no JSON object.
    """
    sent = {"Accept": "application/json", "Accept-Encoding": "identity", **(headers or {})}
    try:
        async with (
            asyncio.timeout(SECONDS),
            httpx.AsyncClient(verify=_tls(), trust_env=False, timeout=SECONDS) as http,
            http.stream(method, address, headers=sent, content=body) as response,
        ):
            content = await _read(response)
            found = orjson.loads(content)
    except TimeoutError:
        raise ProviderUnavailableError(f"{_place(address)} did not answer within {SECONDS:g} s") from None
    except (httpx.HTTPError, httpx.InvalidURL, orjson.JSONDecodeError) as error:
        raise ProviderUnavailableError(f"{_place(address)}: {type(error).__name__}") from None
    if not isinstance(found, dict):
        raise ProviderUnavailableError(f"{_place(address)} sent no JSON object")
    return response.status_code, found


async def _read(response: httpx.Response) -> bytes:
    if response.headers.get("content-encoding", "identity") != "identity":  # it could expand without a bound
        raise ProviderUnavailableError(f"{_place(str(response.url))} sent compressed content, which was not asked for")
    content = bytearray()
    async for part in response.aiter_raw():
        content += part
        if len(content) > MAX_BYTES:
            raise ProviderUnavailableError(f"{_place(str(response.url))} sent more than {MAX_BYTES} bytes")
    return bytes(content)


def _place(address: str) -> str:
    return address.partition("?")[0][:200]


@cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()
