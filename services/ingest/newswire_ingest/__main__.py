"""``python -m newswire_ingest``: serve ingest alone, on 127.0.0.1:8001 or at ``HOST`` and ``PORT``."""

import os

from newswire.http.application import run, serve
from newswire.http.listening import bind
from newswire.observability import json_logging
from newswire_ingest.app import service
from newswire_ingest.settings import IngestSettings


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    json_logging.log_as_json()
    settings = IngestSettings()
    host, port = os.environ.get("HOST", "127.0.0.1"), int(os.environ.get("PORT", "8001"))
    run(serve([lambda: service(settings)], settings, bind(host, port), name="newswire-ingest"))


if __name__ == "__main__":
    main()
