"""Operations on its own: ``python -m newswire_operations``."""

import argparse
import asyncio
from functools import partial

from newswire.http.application import serve
from newswire.http.listening import bind
from newswire.observability.json_logging import log_as_json
from newswire_operations.app import service
from newswire_operations.settings import OperationsSettings


def main() -> None:
    """Serve operations until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(
        prog="newswire-operations", description="Newswire: health, metrics and API documents of all replicas"
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8004)
    arguments = parser.parse_args()
    log_as_json()
    settings = OperationsSettings()
    listener = bind(arguments.host, arguments.port)
    asyncio.run(serve([partial(service, settings)], settings, listener, name="newswire-operations"))


if __name__ == "__main__":
    main()
