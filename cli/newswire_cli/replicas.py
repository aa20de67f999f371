"""Every replica of a service, asked the same question at once."""

import asyncio
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import httpx

ASK_SECONDS = 5.0
"""How long a replica may take to answer; it gives its own checks 3 s."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What one replica said. ``trouble`` tells why there is no ``response``."""

    service: str
    instance: str
    """``host:port``, as Prometheus names a target."""
    response: httpx.Response | None = None
    trouble: str | None = None


async def ask_replicas(http: httpx.AsyncClient, services: Mapping[str, Sequence[httpx.URL]], path: str) -> list[Answer]:
    """Get a path of every replica of every service, in the order of the services and of their addresses.

    A name that has several addresses, like that of a scaled service in Docker Compose or of a headless service in
    Kubernetes, stands for as many replicas.
    """
    named = [(service, url) for service, urls in services.items() for url in urls]
    found = await asyncio.gather(*(_ask_all_behind(http, service, url, path) for service, url in named))
    return [answer for answers in found for answer in answers]


async def _ask_all_behind(http: httpx.AsyncClient, service: str, url: httpx.URL, path: str) -> list[Answer]:
    try:
        async with asyncio.timeout(ASK_SECONDS):
            addresses = await _addresses(url)
    except TimeoutError:
        return [Answer(service, url.netloc.decode(), trouble="the name server gives no answer")]
    except OSError as error:
        return [Answer(service, url.netloc.decode(), trouble=f"the name has no address: {error.strerror}")]
    return list(await asyncio.gather(*(_ask(http, service, url, address, path) for address in addresses)))


async def _addresses(url: httpx.URL) -> list[str]:
    found = await asyncio.get_running_loop().getaddrinfo(url.host, url.port or 80, type=socket.SOCK_STREAM)
    return sorted({str(address[0]) for *_, address in found})


async def _ask(http: httpx.AsyncClient, service: str, url: httpx.URL, address: str, path: str) -> Answer:
    target = url.copy_with(host=address, path=path)
    instance = target.netloc.decode()
    try:
        async with asyncio.timeout(ASK_SECONDS):
            response = await http.get(target, headers={"Host": url.netloc.decode()})
    except TimeoutError:
        return Answer(service, instance, trouble=f"gives no answer within {ASK_SECONDS:.0f} s")
    except httpx.TransportError as error:
        return Answer(service, instance, trouble=f"does not answer: {error or type(error).__name__}")
    return Answer(service, instance, response)
