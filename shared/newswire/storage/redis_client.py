"""The Redis client that services and commands share."""

from redis.asyncio import BlockingConnectionPool, Connection, Redis, SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import ConnectionError as RedisConnectionError

from newswire.storage.redis_connections import ResolvingConnection, ResolvingTLSConnection

MAX_CONNECTIONS = 64
CONNECT_SECONDS = 2.5


def open_redis(url: str) -> "Redis":
    """Return a client; it connects on first use. A call with a broken connection is retried for a moment only.

    A burst of calls waits for free connections, for as long as a caller may be kept waiting.
    """
    # A connection that cannot be opened in time is not retried here: the caller gets the error and may retry.
    retry = Retry(ExponentialWithJitterBackoff(base=0.02, cap=0.3), 4, supported_errors=(RedisConnectionError,))
    over_tcp = {} if url.startswith("unix:") else {"socket_connect_timeout": CONNECT_SECONDS, "socket_keepalive": True}
    pool = BlockingConnectionPool.from_url(
        url, max_connections=MAX_CONNECTIONS, timeout=5, health_check_interval=30, retry=retry, **over_tcp
    )
    pool.connection_class = {Connection: ResolvingConnection, SSLConnection: ResolvingTLSConnection}.get(
        pool.connection_class, pool.connection_class
    )
    return Redis.from_pool(pool)
