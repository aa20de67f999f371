"""`newswire serve`: one service in a process of its own, as in production; or what speaks for all of them."""

import signal
from importlib import import_module

from pydantic import ValidationError

from newswire_cli.commands.known_settings import refuse_unknown
from newswire_cli.console import fail, settings_problem
from newswire_cli.run import free_port

PORTS = {"ingest": 8001, "search": 8002, "notify": 8003, "operations": 8004}
MODULES = {
    "ingest": "newswire_ingest.app",
    "search": "newswire_search.app",
    "notify": "newswire_notify.app",
    "operations": "newswire_cli.operations",
}


def serve_one(name: str, host: str, port: int | None) -> None:
    """Serve ingest, search, notify or operations until SIGTERM or Ctrl-C; its log goes to stderr as JSON lines."""
    from newswire.http.application import run, serve
    from newswire.observability.json_logging import log_as_json
    from newswire.settings import Settings, SettingsError
    from newswire_search.index.port import IndexInUseError

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    refuse_unknown()
    port = free_port(host, PORTS[name] if port is None else port)
    log_as_json()
    try:
        service = import_module(MODULES[name]).service
        run(serve([service], Settings(), host, port))
    except (IndexInUseError, SettingsError) as error:
        fail(str(error))
    except ValidationError as error:
        fail(settings_problem(error))
    except KeyboardInterrupt:
        pass
