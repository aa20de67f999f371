"""The variables of the environment that Newswire reads, and those that only look like it."""

import os
import re
from collections.abc import Iterable
from difflib import get_close_matches

from newswire_cli.console import fail

PREFIX = "NEWSWIRE_"
COMMAND_LINE = frozenset(("PUBLISHER_KEY", "SUBSCRIBER_KEY", "ADMIN_KEY", "READ_KEY", "LISTEN_SECRET"))
"""Read by commands that call a running Newswire; `credentials.env` holds the first three."""
OTHERS = re.compile(r"TEST_|FUZZ_|.*(?:SERVICE_HOST|SERVICE_PORT(?:_.*)?|PORT(?:_\d+_(?:TCP|UDP).*)?)$")
"""Those of the tests, and those that Kubernetes sets in each container for a service whose name begins with ``newswire-``."""


def setting_names() -> set[str]:
    """Return the names of the settings of all services, without the prefix."""
    from newswire_cli.operations import OperationsSettings
    from newswire_ingest.settings import IngestSettings
    from newswire_notify.settings import NotifySettings
    from newswire_search.settings import SearchSettings

    return {
        name.upper()
        for settings in (IngestSettings, SearchSettings, NotifySettings, OperationsSettings)
        for name in settings.model_fields
    }


def unknown_settings(environment: Iterable[str]) -> list[str]:
    """Return a sentence for each variable ``NEWSWIRE_…`` that no service reads: most often a slip in the name."""
    known = setting_names()
    accepted = known | COMMAND_LINE | {f"{name}_FILE" for name in known}
    sentences = []
    for variable in sorted(environment):
        name = variable.removeprefix(PREFIX)
        if name == variable or name in accepted or OTHERS.match(name):
            continue
        near = get_close_matches(name, accepted, n=1, cutoff=0.7)
        meant = f"; did you mean {PREFIX}{near[0]}?" if near else "; docs/operators.md lists all settings"
        sentences.append(f"{variable} is no setting{meant}")
    return sentences


def refuse_unknown() -> None:
    """End the command where a variable is no setting: a misspelt one would be ignored, and its default hold in silence."""
    if unknown := unknown_settings(os.environ):
        fail("; ".join(unknown))
