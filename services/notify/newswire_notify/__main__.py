"""Run notify as a process: ``python -m newswire_notify``."""

import argparse
import asyncio
from functools import partial

from newswire.http.application import serve
from newswire.http.listening import bind
from newswire.observability.json_logging import log_as_json
from newswire_notify.app import service
from newswire_notify.settings import NotifySettings


def main() -> None:
    """Serve notify until a signal stops it."""
    parser = argparse.ArgumentParser(
        prog="newswire-notify", description="Newswire: subscriptions, deliveries, live stream"
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8003)
    arguments = parser.parse_args()
    log_as_json()
    settings = NotifySettings()
    listener = bind(arguments.host, arguments.port)
    asyncio.run(serve([partial(service, settings)], settings, listener, name="newswire-notify"))


if __name__ == "__main__":
    main()
