"""What operators do with articles: one function for the HTTP interface and the command line."""

from redis.asyncio import Redis

from newswire.keys import Keyspace
from newswire.observability.audit import Act, Actor, record
from newswire_ingest.articles.errors import ArticleNotFoundError
from newswire_ingest.articles.models import WriteCommand, WriteResult
from newswire_ingest.articles.publishing import is_article_id
from newswire_ingest.articles.repository import ArticleStore
from newswire_ingest.articles.service import ArticleService


class OperatorActions:
    """An operator's actions on the articles of any publisher. Each is recorded in the audit log."""

    def __init__(self, articles: ArticleService, store: ArticleStore, redis: "Redis", keys: Keyspace) -> None:
        self._articles = articles
        self._store = store
        self._redis = redis
        self._keys = keys

    async def retract(self, article_id: str, reason: str, command: WriteCommand) -> WriteResult:
        """Retract an article. Its publisher cannot publish it again until it is released.

        Raises:
            newswire_ingest.articles.errors.ArticleError: it is rejected; nothing is written.
        """
        return await self._articles.take_down(article_id, reason, command)

    async def release(self, actor: Actor, article_id: str) -> None:
        """Allow a publisher to publish an article again that an operator retracted.

        Raises:
            ArticleNotFoundError: there is none that an operator retracted.
        """
        if not is_article_id(article_id) or not await self._store.release(article_id):
            raise ArticleNotFoundError("article that an operator retracted")
        await record(self._redis, self._keys, actor, Act.ARTICLE_RELEASED, "article", article_id)
