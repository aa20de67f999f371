"""The Elasticsearch index behind an alias, created if it is missing."""

import asyncio
import logging
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

from elasticsearch import ApiError, AsyncElasticsearch, NotFoundError

from newswire.messaging.messages import DependencyUnavailableError
from newswire_search.index.admin import next_index_name
from newswire_search.index.elasticsearch.responses import reason_of, translate_errors
from newswire_search.index.mapping import MAPPING, MAPPING_NUMBER, alias_in_use, stem_of

log = logging.getLogger(__name__)


class IndexTarget:
    """The target of requests: the index in use of a namespace, or a staging index beside it."""

    def __init__(
        self, client: AsyncElasticsearch, namespace: str, settings: Mapping[str, Any], staging_name: str | None
    ) -> None:
        """Use the client's server; ``settings`` apply to an index that has to be created (`mapping.index_settings`).

        ``staging_name`` names an index that is being filled: it has an alias of its own, so no other process sees it.
        """
        self.client = client
        self.namespace = namespace
        self.settings = settings
        self.stem = stem_of(namespace)
        self.alias = alias_in_use(namespace) if staging_name is None else f"{self.stem}-staging"
        self._staging_name = staging_name
        self._creation = asyncio.Lock()

    async def ensure(self) -> None:
        """Create the index if its alias is missing.

        Raises:
            DependencyUnavailableError: there is an index of another release, which this one cannot use.
        """
        # Concurrent callers wait: a new index exists a moment before it can be searched.
        async with self._creation, translate_errors():
            if await self.client.indices.exists_alias(name=self.alias):
                return
            names = list(await self.names())
            if self._staging_name is None and (reason := mapping_mismatch(names)):
                raise DependencyUnavailableError(reason)
            await self._create(self._staging_name or next_index_name(self.stem, names, MAPPING_NUMBER))

    async def _create(self, name: str) -> None:
        aliases = {self.alias: {"is_write_index": True}}
        try:
            await self.client.indices.create(index=name, settings=self.settings, mappings=MAPPING, aliases=aliases)
        except ApiError as error:
            # If two processes try at once, one creates the index and the other finds it: an alias has one write
            # index.
            if await self.client.indices.exists_alias(name=self.alias):
                return
            if error.error == "resource_already_exists_exception":  # `newswire reindex` created it a moment earlier
                raise DependencyUnavailableError(f"Elasticsearch: another process is creating {name}") from error
            # An operator has to act: the cluster has as many shards as it may, a template claims the name, and so on. No article
            # is the cause, and none may become a dead letter.
            raise DependencyUnavailableError(
                f"Elasticsearch does not create {name}: {reason_of(error)}"[:500]
            ) from error
        log.info("index created", extra={"index": name})

    async def names(self) -> dict[str, list[str]]:
        """Return the names of all indexes of this namespace, of any mapping number, each with its aliases."""
        found = await self.client.indices.get_alias(index=f"{self.stem}-*")
        ours = re.compile(rf"{re.escape(self.stem)}-\d+-\d{{6}}")
        return {name: list(about["aliases"]) for name, about in found.items() if ours.fullmatch(name)}

    async def request(self, send: Callable[[], Any]) -> Any:
        """Send a request; if the index was deleted, create it and send the request again."""
        try:
            return await send()
        except NotFoundError as error:
            if error.error != "index_not_found_exception":
                raise
        await self.ensure()
        return await send()


def mapping_mismatch(names: Collection[str]) -> str | None:
    """Return why this release cannot use the indexes of these names, or None if it can."""
    numbers = {int(name.rsplit("-", 2)[1]) for name in names} - {MAPPING_NUMBER}
    if not numbers:
        return None
    return (
        f"the index has mapping {max(numbers)}, created by another release, and this one needs {MAPPING_NUMBER}: "
        "run `newswire reindex`"
    )
