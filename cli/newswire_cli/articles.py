"""`newswire articles`: take any article down, and release it again."""

from typing import Annotated

import typer

from newswire_cli.console import fail, say
from newswire_cli.store import DataDir, Store, with_store

app = typer.Typer(help="Retract any article as an operator.", no_args_is_help=True)

Id = Annotated[str, typer.Argument(metavar="ID")]


@app.command()
def retract(
    article: Id,
    reason: Annotated[str, typer.Option(help="Why; it stands in the tombstone, which readers and subscribers see.")],
    data_dir: DataDir = None,
) -> None:
    """Retract any article: its text is erased everywhere, and its publisher cannot publish it again until it is released."""
    if not 1 <= len(reason.strip()) <= 1000:
        fail("--reason has 1 to 1000 characters")

    async def work(store: Store) -> None:
        from newswire.auth.credentials import Caller, Scope
        from newswire.http.problems import ProblemError
        from newswire.observability import tracing
        from newswire.observability.audit import COMMAND_LINE, Act, record
        from newswire_ingest.app import open_article_service
        from newswire_ingest.articles.service import WriteCommand
        from newswire_ingest.settings import IngestSettings

        caller = Caller("", "", frozenset({Scope.ADMIN}))  # the command line has no key
        service = open_article_service(store.redis, IngestSettings())
        try:
            await service.take_down(article, reason, WriteCommand(caller, "", tracing.traceparent(None)))
        except ProblemError as problem:
            fail(f"{article} cannot be retracted: {problem.detail}")
        await record(store.redis, store.keys, COMMAND_LINE, Act.ARTICLE_RETRACTED, "article", article, reason=reason)

    with_store(data_dir, work)
    say(f"{article} is retracted")


@app.command()
def release(article: Id, data_dir: DataDir = None) -> None:
    """Let a publisher publish an article again that an operator retracted."""

    async def work(store: Store) -> bool:
        from datetime import timedelta

        from newswire.observability.audit import COMMAND_LINE, Act, record
        from newswire_ingest.articles.publishing import is_article_id
        from newswire_ingest.articles.repository import ArticleStore

        articles = ArticleStore(store.redis, store.keys, timedelta(hours=24))
        if not is_article_id(article) or not await articles.release(article):
            return False
        await record(store.redis, store.keys, COMMAND_LINE, Act.ARTICLE_RELEASED, "article", article)
        return True

    if not with_store(data_dir, work):
        fail(f"there is no article {article} that an operator retracted")
    say(f"{article} can be published again")
