"""`newswire articles`: retract any article as an operator, and release it again."""

from typing import TYPE_CHECKING, Annotated

import typer

from newswire_cli.client.redis import DataDir, with_stores
from newswire_cli.terminal.console import fail, say
from newswire_cli.terminal.reason import checked_reason
from newswire_operations.stores import Stores

if TYPE_CHECKING:
    from newswire_ingest.articles.operator_actions import OperatorActions

app = typer.Typer(help="Retract any article as an operator.", no_args_is_help=True)

Id = Annotated[str, typer.Argument(metavar="ID")]


@app.command()
def retract(
    article: Id,
    reason: Annotated[str, typer.Option(help="The reason. Readers and subscribers see it in the tombstone.")],
    data_dir: DataDir = None,
) -> None:
    """Retract any article: its text is erased everywhere, and its publisher cannot publish it again until it is released."""
    reason = checked_reason(reason)

    async def work(stores: Stores) -> None:
        from newswire.auth.credentials import Caller, Scope
        from newswire.observability import tracing
        from newswire.observability.audit import COMMAND_LINE
        from newswire_ingest.articles.errors import ArticleError
        from newswire_ingest.articles.models import WriteCommand

        caller = Caller("", "", frozenset({Scope.ADMIN}))  # the command line has no key
        command = WriteCommand(caller, "", tracing.traceparent(None), actor=COMMAND_LINE)
        try:
            await _actions(stores).retract(article, reason, command)
        except ArticleError as error:
            fail(f"{article} cannot be retracted: {error}")

    with_stores(data_dir, work, writes=True)
    say(f"{article} is retracted")


@app.command()
def release(article: Id, data_dir: DataDir = None) -> None:
    """Allow the publisher to publish an article again that an operator retracted."""

    async def work(stores: Stores) -> None:
        from newswire.observability.audit import COMMAND_LINE
        from newswire_ingest.articles.errors import ArticleNotFoundError

        try:
            await _actions(stores).release(COMMAND_LINE, article)
        except ArticleNotFoundError:
            fail(f"there is no article {article} that an operator retracted")

    with_stores(data_dir, work, writes=True)
    say(f"{article} can be published again")


def _actions(stores: Stores) -> "OperatorActions":
    from newswire_ingest.app import operator_actions
    from newswire_ingest.settings import IngestSettings

    return operator_actions(stores.redis, IngestSettings())
