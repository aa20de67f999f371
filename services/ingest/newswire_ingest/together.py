"""Calls of concurrent requests sent to Redis together: one round trip, one connection and one wake-up for all that wait."""

import asyncio
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from newswire.functions import Argument, FunctionLibrary

MOST_AT_ONCE = 64

_Call = tuple[tuple[Argument, ...], "asyncio.Future[Any]"]


class Together:
    """Calls functions of a library, and reads hashes as the client itself does.

    Each call is atomic by itself; sharing a round trip joins them in nothing else.
    """

    def __init__(self, redis: "Redis", functions: FunctionLibrary) -> None:
        self._redis = redis
        self._functions = functions
        self._waiting: list[_Call] = []
        self._sender: asyncio.Task[None] | None = None

    async def call(self, function: str, keys: list[str], args: list[Argument]) -> Any:
        """Call a function and return its answer."""
        return await self._command("FCALL", self._functions.full_name(function), len(keys), *keys, *args)

    async def hget(self, name: str, field: str) -> Any:
        """Return a field of a hash."""
        return await self._command("HGET", name, field)

    async def hmget(self, name: str, *fields: str) -> Any:
        """Return fields of a hash."""
        return await self._command("HMGET", name, *fields)

    async def hgetall(self, name: str) -> Any:
        """Return all fields of a hash."""
        return await self._command("HGETALL", name)

    async def _command(self, *args: Argument) -> Any:
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append((args, answer))
        if self._sender is None or self._sender.done():
            self._sender = asyncio.create_task(self._send())
        return await answer

    async def _send(self) -> None:
        while self._waiting:
            calls, self._waiting = self._waiting[:MOST_AT_ONCE], self._waiting[MOST_AT_ONCE:]
            try:
                answers = await self._exchange(calls)
            except BaseException as error:
                for _, answer in calls:
                    if not answer.done():
                        answer.set_exception(error if isinstance(error, Exception) else ConnectionError("stopped"))
                if not isinstance(error, Exception):
                    raise
            else:
                for (_, answer), value in zip(calls, answers, strict=True):
                    _settle(answer, value)

    async def _exchange(self, calls: list[_Call]) -> list[Any]:
        answers = await self._pipeline(calls)
        unknown = [at for at, answer in enumerate(answers) if _is_unknown_function(answer)]
        if unknown:
            await self._functions.load()
            for at, answer in zip(unknown, await self._pipeline([calls[at] for at in unknown]), strict=True):
                answers[at] = answer
        return answers

    async def _pipeline(self, calls: list[_Call]) -> list[Any]:
        async with self._redis.pipeline(transaction=False) as pipe:
            for args, _ in calls:
                pipe.execute_command(*args)
            return list(await pipe.execute(raise_on_error=False))


def _is_unknown_function(answer: Any) -> bool:
    return isinstance(answer, ResponseError) and "Function not found" in str(answer)


def _settle(answer: "asyncio.Future[Any]", value: Any) -> None:
    if answer.done():  # whoever asked has gone
        return
    if isinstance(value, Exception):
        answer.set_exception(value)
    else:
        answer.set_result(value)
