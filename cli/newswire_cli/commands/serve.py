"""`newswire serve`: one service in a process of its own, as in production."""

import signal
from enum import StrEnum
from importlib import import_module
from typing import Annotated

import typer

from newswire_cli.commands.run import Host
from newswire_cli.terminal.console import fail, settings_problem


class ServiceName(StrEnum):
    """The services that can be served on their own."""

    INGEST = "ingest"
    SEARCH = "search"
    NOTIFY = "notify"
    OPERATIONS = "operations"


PORTS = {"ingest": 8001, "search": 8002, "notify": 8003, "operations": 8004}
MODULES = {name.value: f"newswire_{name.value}.app" for name in ServiceName}


def serve(
    service: ServiceName,
    host: Host = "127.0.0.1",
    port: Annotated[
        int | None,
        typer.Option(help="The port to listen on.", show_default="8001 to 8004", min=0, max=65535),
    ] = None,
) -> None:
    """Serve one service on its own, or `operations`: health, metrics and API documents of all three.

    It runs until SIGTERM or Ctrl-C and logs to stderr as JSON lines.
    """
    from newswire import garbage_collection
    from newswire_cli.local.known_settings import reject_unknown_settings

    garbage_collection.collect_rarely()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    reject_unknown_settings()
    from pydantic import ValidationError

    from newswire.http import application
    from newswire.observability.json_logging import log_as_json
    from newswire.settings import Settings, SettingsError
    from newswire_cli.local.listening import listening
    from newswire_search.index.models import IndexInUseError

    try:
        with listening(host, PORTS[service] if port is None else port) as listener:
            log_as_json()
            factory = import_module(MODULES[service]).service
            application.run(application.serve([factory], Settings(), listener, name=f"newswire-{service}"))
    except IndexInUseError as error:
        fail(str(error))
    except (ValidationError, SettingsError) as error:
        fail(settings_problem(error))
    except KeyboardInterrupt:
        pass
