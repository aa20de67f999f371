"""`newswire articles`: retract any article as an operator, and release it again."""

from typing import Annotated

import typer

from newswire_cli.client.redis import DataDir, with_stores
from newswire_cli.terminal.console import fail, say
from newswire_operations.stores import Stores

app = typer.Typer(help="Retract any article as an operator.", no_args_is_help=True)

Id = Annotated[str, typer.Argument(metavar="ID")]


@app.command()
def retract(
    article: Id,
    reason: Annotated[str, typer.Option(help="The reason. Readers and subscribers see it in the tombstone.")],
    data_dir: DataDir = None,
) -> None:
    """Retract any article: its text is erased everywhere, and its publisher cannot publish it again until it is released."""
    if not 1 <= len(reason.strip()) <= 1000:
        fail("--reason must have 1 to 1000 characters")

    async def work(stores: Stores) -> None:
        from newswire.auth.credentials import Caller, Scope
        from newswire.http.problems import ProblemError
        from newswire.observability import tracing
        from newswire.observability.audit import COMMAND_LINE, Act, record
        from newswire_ingest.app import open_article_service
        from newswire_ingest.articles.models import WriteCommand
        from newswire_ingest.settings import IngestSettings

        caller = Caller("", "", frozenset({Scope.ADMIN}))  # the command line has no key
        service = open_article_service(stores.redis, IngestSettings())
        try:
            await service.take_down(article, reason, WriteCommand(caller, "", tracing.traceparent(None)))
        except ProblemError as problem:
            fail(f"{article} cannot be retracted: {problem.detail}")
        await record(stores.redis, stores.keys, COMMAND_LINE, Act.ARTICLE_RETRACTED, "article", article, reason=reason)

    with_stores(data_dir, work)
    say(f"{article} is retracted")


@app.command()
def release(article: Id, data_dir: DataDir = None) -> None:
    """Allow the publisher to publish an article again that an operator retracted."""

    async def work(stores: Stores) -> bool:
        from datetime import timedelta

        from newswire.observability.audit import COMMAND_LINE, Act, record
        from newswire_ingest.articles.publishing import is_article_id
        from newswire_ingest.articles.repository import ArticleStore

        articles = ArticleStore(stores.redis, stores.keys, timedelta(hours=24))
        if not is_article_id(article) or not await articles.release(article):
            return False
        await record(stores.redis, stores.keys, COMMAND_LINE, Act.ARTICLE_RELEASED, "article", article)
        return True

    if not with_stores(data_dir, work):
        fail(f"there is no article {article} that an operator retracted")
    say(f"{article} can be published again")
