"""Run search alone: ``python -m newswire_search``."""

import argparse
import asyncio
import sys
from functools import partial

from newswire.http.application import serve
from newswire.http.listening import bind
from newswire.observability.json_logging import log_as_json
from newswire_search.app import service
from newswire_search.index.models import IndexInUseError
from newswire_search.settings import SearchSettings


def main() -> None:
    """Serve search until the process is stopped."""
    parser = argparse.ArgumentParser(prog="newswire-search", description="Newswire: the readers' API and pages")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8002)
    arguments = parser.parse_args()
    log_as_json()
    settings = SearchSettings()
    try:
        listener = bind(arguments.host, arguments.port)
        asyncio.run(serve([partial(service, settings)], settings, listener, name="newswire-search"))
    except IndexInUseError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
