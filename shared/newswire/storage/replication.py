"""Waits until replicas of Redis have what was written: before a response, and before anybody is notified of an event.

``WAIT`` counts the replicas that have everything up to the last write of its own connection. The barrier writes something cheap
on one connection and waits there: replicas that have that write have all earlier ones, of all connections. PUBLISH is replicated,
and neither stored nor synced to the disk. In a cluster it is not replicated, but sent to all nodes; there a key is written, which
also shows that the server still has the slot.
"""

from collections.abc import Sequence
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from newswire.concurrency.shared_round_trips import SharedRoundTrips
from newswire.keys import Keyspace

WAIT_MS = 2000
"""How long replicas may take. Less than a readiness check, and than the timeout of a connection."""


class UnconfirmedError(ResponseError):  # type: ignore[misc] # redis is not followed, see pyproject.toml
    """Too few replicas have what was written. It may take effect nevertheless."""

    def __init__(self, message: str) -> None:
        super().__init__(message, status_code="UNCONFIRMED")


class SwitchedError(ResponseError):  # type: ignore[misc] # redis is not followed, see pyproject.toml
    """Another server has become the primary since. It may lack what was written."""

    def __init__(self, message: str) -> None:
        super().__init__(message, status_code="SWITCHED")


class ReplicationBarrier:
    """Confirms writes and reads: one round trip for all callers that wait at the same moment."""

    def __init__(self, redis: "Redis", keys: Keyspace, replicas: int = 0) -> None:
        """Require ``replicas`` acknowledgements; with 0, nothing is awaited."""
        self.replicas = replicas
        self._redis = redis
        self._keys = keys
        self._history: str | None = None
        """The replication id of the primary; another one begins with each failover."""
        self._confirmations: SharedRoundTrips[None, str] = SharedRoundTrips(self._confirm_all)

    async def history(self) -> str | None:
        """Return the history that writes and reads from now on belong to, for `confirm`."""
        if not self.replicas:
            return None
        if self._history is None:
            info = await self._redis.info("replication")
            self._history = str(info["master_replid"])
        return self._history

    async def confirm(self, history: str | None) -> None:
        """Wait until enough replicas have everything that was written or read since `history` was called.

        Raises:
            UnconfirmedError: too few replicas have it in time.
            SwitchedError: another server has become the primary since.
            redis.exceptions.RedisError: the primary cannot be used.
        """
        if not self.replicas:
            return
        if await self._confirmations(None) != history:
            raise SwitchedError("another server became the primary before replicas confirmed the write")

    async def check(self) -> str | None:
        """Return why writes are refused, or None: a readiness check. Errors of Redis are raised."""
        try:
            await self.confirm(await self.history())
        except UnconfirmedError as error:
            return str(error)
        except SwitchedError:
            return None  # later writes belong to the new history
        return None

    async def _confirm_all(self, callers: Sequence[None]) -> list[str]:
        """Wait for replicas, and return the history that they have confirmed, for each caller."""
        async with self._redis.pipeline(transaction=False) as pipe:
            if self._keys.in_one_slot:
                pipe.set(self._keys.replication, "")
            else:
                pipe.publish(self._keys.replication, "")
            pipe.execute_command("WAIT", self.replicas, WAIT_MS)
            pipe.info("replication")
            written, confirmed, info = await pipe.execute(raise_on_error=False)
        if isinstance(info, Exception):
            raise info
        if info["role"] != "master":  # where WAIT is an error
            raise SwitchedError("the server is a replica now")
        for answer in (written, confirmed):
            if isinstance(answer, Exception):
                raise answer
        if confirmed < self.replicas:
            raise UnconfirmedError(_shortage(confirmed, self.replicas, info))
        self._history = str(info["master_replid"])
        return [self._history] * len(callers)


def _shortage(confirmed: int, required: int, info: dict[str, Any]) -> str:
    connected = info["connected_slaves"]
    return f"{confirmed} of {connected} connected replicas of Redis confirmed within {WAIT_MS} ms; {required} must"
