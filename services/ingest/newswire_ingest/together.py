"""Function calls of concurrent requests sent to Redis together: one round trip and one wake-up for all that wait."""

import asyncio
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from newswire.functions import Argument, FunctionLibrary

MOST_AT_ONCE = 64

_Call = tuple[str, list[str], list[Argument], "asyncio.Future[Any]"]


class Together:
    """Calls functions of a library. Each call is atomic by itself; sharing a round trip joins them in nothing else."""

    def __init__(self, redis: "Redis", functions: FunctionLibrary) -> None:
        self._redis = redis
        self._functions = functions
        self._waiting: list[_Call] = []
        self._sender: asyncio.Task[None] | None = None

    async def call(self, function: str, keys: list[str], args: list[Argument]) -> Any:
        """Call a function and return its answer."""
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append((function, keys, args, answer))
        if self._sender is None or self._sender.done():
            self._sender = asyncio.create_task(self._send())
        return await answer

    async def _send(self) -> None:
        while self._waiting:
            calls, self._waiting = self._waiting[:MOST_AT_ONCE], self._waiting[MOST_AT_ONCE:]
            try:
                answers = await self._exchange(calls)
            except BaseException as error:
                for *_, answer in calls:
                    if not answer.done():
                        answer.set_exception(error if isinstance(error, Exception) else ConnectionError("stopped"))
                if not isinstance(error, Exception):
                    raise
            else:
                for (*_, answer), value in zip(calls, answers, strict=True):
                    _settle(answer, value)

    async def _exchange(self, calls: list[_Call]) -> list[Any]:
        async with self._redis.pipeline(transaction=False) as pipe:
            for function, keys, args, _ in calls:
                pipe.execute_command("FCALL", self._functions.full_name(function), len(keys), *keys, *args)
            answers = await pipe.execute(raise_on_error=False)
        for at, answer in enumerate(answers):
            if isinstance(answer, ResponseError) and "Function not found" in str(answer):
                function, keys, args, _ = calls[at]
                answers[at] = await self._functions.call(function, keys, args)
        return answers


def _settle(answer: "asyncio.Future[Any]", value: Any) -> None:
    if answer.done():  # whoever asked has gone
        return
    if isinstance(value, Exception):
        answer.set_exception(value)
    else:
        answer.set_result(value)
