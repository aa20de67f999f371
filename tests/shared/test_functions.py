"""Redis functions: loaded when missing, and called in batches."""

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from newswire.storage.redis_functions import FunctionLibrary

SOURCE = """
register('echo', function(_, argv) return argv[1] end)
register('fail', function() return redis.error_reply('ERR on purpose') end)
"""


async def test_missing_functions_are_loaded(redis: Redis, namespace: str) -> None:
    assert await FunctionLibrary(redis, namespace, "one", SOURCE).call("echo", [], ["a"]) == b"a"
    functions = FunctionLibrary(redis, namespace, "all", SOURCE)
    for _ in range(2):
        assert await functions.call_all([("echo", [], ["a"]), ("echo", [], ["b"])]) == [b"a", b"b"]


async def test_a_failing_call_does_not_affect_the_others(redis: Redis, namespace: str) -> None:
    functions = FunctionLibrary(redis, namespace, "test", SOURCE)
    await functions.load()
    first, failed, last = await functions.call_all([("echo", [], ["a"]), ("fail", [], []), ("echo", [], ["b"])])
    assert (first, last) == (b"a", b"b")
    assert isinstance(failed, ResponseError)
