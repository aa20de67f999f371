"""Sends one request to every replica of every service, concurrently."""

import asyncio
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import httpx

REPLICA_TIMEOUT_SECONDS = 5.0
"""Longer than the 3 s that a replica gives its own checks."""


@dataclass(frozen=True, slots=True)
class ReplicaResponse:
    """The response of one replica, or the ``error`` that explains why there is none."""

    service: str
    instance: str
    """``host:port``, as Prometheus names a target."""
    response: httpx.Response | None = None
    error: str | None = None


async def query_replicas(
    http: httpx.AsyncClient, services: Mapping[str, Sequence[httpx.URL]], path: str
) -> list[ReplicaResponse]:
    """GET a path of every replica of every service; return the responses in the order of services and addresses.

    A host name with several addresses, such as that of a scaled service in Docker Compose or of a headless service in
    Kubernetes, counts as one replica per address.
    """
    named = [(service, url) for service, urls in services.items() for url in urls]
    found = await asyncio.gather(*(_query_host(http, service, url, path) for service, url in named))
    return [response for responses in found for response in responses]


async def _query_host(http: httpx.AsyncClient, service: str, url: httpx.URL, path: str) -> list[ReplicaResponse]:
    try:
        async with asyncio.timeout(REPLICA_TIMEOUT_SECONDS):
            addresses = await _resolve(url)
    except TimeoutError:
        return [ReplicaResponse(service, url.netloc.decode(), error="the name server does not answer")]
    except OSError as error:
        return [ReplicaResponse(service, url.netloc.decode(), error=f"the host has no address: {error.strerror}")]
    return list(await asyncio.gather(*(_query(http, service, url, address, path) for address in addresses)))


async def _resolve(url: httpx.URL) -> list[str]:
    found = await asyncio.get_running_loop().getaddrinfo(url.host, url.port or 80, type=socket.SOCK_STREAM)
    return sorted({str(address[0]) for *_, address in found})


async def _query(http: httpx.AsyncClient, service: str, url: httpx.URL, address: str, path: str) -> ReplicaResponse:
    target = url.copy_with(host=address, path=path)
    instance = target.netloc.decode()
    try:
        async with asyncio.timeout(REPLICA_TIMEOUT_SECONDS):
            response = await http.get(target, headers={"Host": url.netloc.decode()})
    except TimeoutError:
        return ReplicaResponse(service, instance, error=f"does not answer within {REPLICA_TIMEOUT_SECONDS:.0f} s")
    except httpx.TransportError as error:
        return ReplicaResponse(service, instance, error=f"does not answer: {error or type(error).__name__}")
    return ReplicaResponse(service, instance, response)
