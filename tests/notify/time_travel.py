"""Time that passes for everything at once: for the clock of the queue, and for whatever expires on the server."""

from tests.notify.conftest import Desk


async def pass_time(desk: Desk, seconds: float) -> None:
    """Turn the clock, and let every record of the namespace come so much nearer to its end, as if the time had passed."""
    desk.clock.now += seconds
    by = int(seconds * 1000)
    async for name in desk.redis.scan_iter(f"*{desk.keys.namespace}*", count=1000):
        left = await desk.redis.pttl(name)
        if 0 <= left <= by:
            await desk.redis.delete(name)
        elif left > by:
            await desk.redis.pexpire(name, left - by)
