"""`newswire rename-keys`: renames all keys for another NEWSWIRE_NAMESPACE."""

from typing import Annotated

import typer

from newswire_cli.client.redis import with_stores
from newswire_cli.terminal.console import fail, say, settings_problem
from newswire_operations.stores import Stores


def rename_keys(
    namespace: Annotated[str, typer.Argument(help="The other namespace, such as '{newswire}'.")],
) -> None:
    """Rename all keys from NEWSWIRE_NAMESPACE to another one, while no service runs: into a hash tag for a cluster, or back.

    An interrupted run is continued by the next one. Then set NEWSWIRE_NAMESPACE.
    """
    from pydantic import ValidationError

    from newswire.settings import Settings, SettingsError

    try:
        Settings(namespace=namespace)
    except (ValidationError, SettingsError) as error:
        fail(settings_problem(error), code=2)

    async def work(stores: Stores) -> int:
        from newswire.keys import Keyspace
        from newswire.observability.audit import COMMAND_LINE, Act, record
        from newswire_operations.rename_keys import RenameRefusedError
        from newswire_operations.rename_keys import rename_keys as rename

        try:
            renamed = await rename(stores, namespace)
        except RenameRefusedError as error:
            fail(str(error))
        await record(
            stores.redis, Keyspace(namespace), COMMAND_LINE, Act.KEYS_RENAMED, "namespace", namespace, renamed=renamed
        )
        return renamed

    renamed = with_stores(None, work)
    say(f"{renamed} keys are renamed; set NEWSWIRE_NAMESPACE={namespace} before the services start")
