"""Tasks whose result may never be awaited, because every caller that waits for them may leave."""

import asyncio
from typing import Any


def retrieve_result(task: "asyncio.Task[Any]") -> None:
    """Retrieve the error of a task: a callback for when it is done. Otherwise asyncio would report the error as unhandled."""
    if not task.cancelled():
        task.exception()
