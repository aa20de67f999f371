"""Detects misspelt settings: environment variables with the prefix of the settings that no service reads."""

import os
import re
from collections.abc import Iterable
from difflib import get_close_matches

from newswire_cli.terminal.console import fail

PREFIX = "NEWSWIRE_"
COMMAND_LINE_VARIABLES = frozenset(("PUBLISHER_KEY", "SUBSCRIBER_KEY", "ADMIN_KEY", "READ_KEY", "LISTEN_SECRET"))
"""Read by commands that call a running Newswire; `credentials.env` contains the keys."""
IGNORED_VARIABLES = re.compile(r"TEST_|FUZZ_|.*(?:SERVICE_HOST|SERVICE_PORT(?:_.*)?|PORT(?:_\d+_(?:TCP|UDP).*)?)$")
"""Variables of the tests, and those that Kubernetes sets in each container for a service whose name begins with ``newswire-``."""


def setting_names() -> set[str]:
    """Return the names of the settings of all services, without the prefix."""
    from newswire_ingest.settings import IngestSettings
    from newswire_notify.settings import NotifySettings
    from newswire_operations.settings import OperationsSettings
    from newswire_search.settings import SearchSettings

    return {
        name.upper()
        for settings in (IngestSettings, SearchSettings, NotifySettings, OperationsSettings)
        for name in settings.model_fields
    }


def unknown_settings(environment: Iterable[str]) -> list[str]:
    """Return a message for each variable ``NEWSWIRE_…`` that no service reads, with the setting that was probably meant."""
    known = setting_names()
    named = known | COMMAND_LINE_VARIABLES
    accepted = named | {f"{name}_FILE" for name in named}
    messages = []
    for variable in sorted(environment):
        name = variable.removeprefix(PREFIX)
        if name == variable or name in accepted or IGNORED_VARIABLES.match(name):
            continue
        near = get_close_matches(name, accepted, n=1, cutoff=0.7)
        hint = f"; did you mean {PREFIX}{near[0]}?" if near else "; docs/operators/settings.md lists all settings"
        messages.append(f"{variable} is not a setting{hint}")
    return messages


def reject_unknown_settings() -> None:
    """End the command if a variable is not a setting: otherwise a misspelt setting would silently leave the default in effect."""
    if unknown := unknown_settings(os.environ):
        fail("; ".join(unknown))
