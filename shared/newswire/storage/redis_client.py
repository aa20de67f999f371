"""The Redis client that services and commands share."""

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialWithJitterBackoff
from redis.driver_info import DriverInfo
from redis.exceptions import ConnectionError as RedisConnectionError

from newswire.storage.observed_redis import ObservedRedis
from newswire.storage.redis_connections import PrimaryPool, ReusingPool
from newswire.storage.redis_url import RedisUrlError, parse_redis_url
from newswire.storage.resolving_connections import resolving

CONNECTIONS = 64
"""What a process may use unless its settings say otherwise."""
CONNECT_SECONDS = 2.5
_DRIVER = DriverInfo()
"""What connections tell the server about the client. The library would read the metadata of its package for each of them: 3 ms."""


def open_redis(address: str, namespace: str = "", connections: int = CONNECTIONS) -> "Redis":
    """Return a client; it connects on first use. A call with a broken connection is retried for a moment only.

    A burst of calls waits for free connections, of which there are so many, for as long as a caller may be kept waiting. A client
    of a cluster can use only keys with the hash tag of the ``namespace``.

    Raises:
        newswire.storage.redis_url.RedisUrlError: the address cannot be used.
    """
    url = parse_redis_url(address)
    # A connection that cannot be opened in time is not retried here: the caller gets the error and may retry.
    retry = Retry(ExponentialWithJitterBackoff(base=0.02, cap=0.3), 4, supported_errors=(RedisConnectionError,))
    options = {
        "max_connections": connections,
        "timeout": 5,
        "health_check_interval": 30,
        "retry": retry,
        "driver_info": _DRIVER,
    }
    if "path" not in url.options:
        options |= {"socket_connect_timeout": CONNECT_SECONDS, "socket_keepalive": True}
    if url.nodes and not namespace:
        raise RedisUrlError("a client of a cluster needs the namespace of its keys")
    if url.follows_primary:
        return ObservedRedis.from_pool(PrimaryPool(address, url, namespace.strip("{}"), **options))
    return ObservedRedis.from_pool(ReusingPool(**resolving({**options, **url.options})))
