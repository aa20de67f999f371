"""`newswire elasticsearch-role`: what search must be allowed in Elasticsearch."""

from typing import Annotated

import typer

from newswire_cli.terminal.console import fail, note, say, settings_problem


def elasticsearch_role(
    api_key: Annotated[
        bool, typer.Option("--api-key", help="Print the request for an API key with this role instead.")
    ] = False,
) -> None:
    """Print the role of search and its commands in Elasticsearch, as JSON, with the least that it must be allowed."""
    import json

    from pydantic import ValidationError

    from newswire.settings import Settings, SettingsError
    from newswire_operations.elasticsearch_role import NAME, api_key_request, role_descriptor

    try:
        namespace = Settings().namespace
    except (ValidationError, SettingsError) as error:
        fail(settings_problem(error))
    say(json.dumps(api_key_request(namespace) if api_key else role_descriptor(namespace), indent=2))
    if api_key:
        note("send it to POST /_security/api_key, and set NEWSWIRE_ELASTICSEARCH_API_KEY to `encoded` of the response")
    else:
        note(f"send it to PUT /_security/role/{NAME}, and give the role to the user of search")
