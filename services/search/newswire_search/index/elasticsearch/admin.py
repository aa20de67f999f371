"""Administration of an index on Elasticsearch.

Indexes are called ``namespace-articles-mapping-serial``. The one in use has the alias ``namespace-articles-mapping``, one
that is being filled ``namespace-articles-staging``.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import Any

from elasticsearch import NotFoundError

from newswire.messaging.messages import DependencyUnavailableError
from newswire_search.index.admin import IndexedVersion, StagingIndex, next_index_name
from newswire_search.index.elasticsearch.index import ElasticsearchIndex
from newswire_search.index.elasticsearch.responses import require_complete, translate_errors
from newswire_search.index.elasticsearch.target import mapping_mismatch
from newswire_search.index.mapping import MAPPING_NUMBER
from newswire_search.index.models import Operation, RejectedOperation, WriteStatus

PAGE = 2000
SNAPSHOT_KEEP_ALIVE = "2m"
REPLICAS_SECONDS = 60
"""How long to wait for the replicas of a new index before it is put into use without them."""


class ElasticsearchContents:
    """`newswire_search.index.admin.IndexContents` of an index on Elasticsearch."""

    def __init__(self, index: ElasticsearchIndex) -> None:
        self._index = index
        self._client = index.client

    async def write(self, operations: Sequence[Operation]) -> list[WriteStatus | RejectedOperation]:
        """Write a batch."""
        return await self._index.write(operations)

    async def refresh(self) -> None:
        """Refresh the index."""
        async with translate_errors():
            await self._index.target.ensure()
            await self._client.options(request_timeout=60).indices.refresh(index=self._index.alias)

    async def lookup(self, ids: Sequence[str]) -> dict[str, IndexedVersion]:
        """Search by ids: that reads what searches see, and decompresses no documents."""
        if not ids:
            return {}
        async with translate_errors():
            hits = await self._hits(
                index=self._index.alias, query={"ids": {"values": list(ids)}}, size=len(ids), sort="_doc"
            )
        return {hit["_id"]: _indexed_version(hit) for hit in hits}

    async def scan(self) -> AsyncIterator[list[IndexedVersion]]:
        """Scan a snapshot of the index."""
        async with translate_errors():
            answer = await self._client.open_point_in_time(index=self._index.alias, keep_alive=SNAPSHOT_KEEP_ALIVE)
        pit = {"id": answer["id"], "keep_alive": SNAPSHOT_KEEP_ALIVE}
        after: list[Any] | None = None
        try:
            while True:
                async with translate_errors():
                    hits = await self._hits(pit=pit, size=PAGE, sort="_shard_doc", search_after=after)
                if not hits:
                    return
                yield [_indexed_version(hit) for hit in hits]
                after = hits[-1]["sort"]
        finally:
            with suppress(NotFoundError):
                await self._client.close_point_in_time(id=pit["id"])

    async def identity(self) -> str | None:
        """Return the UUID of the index on Elasticsearch."""
        async with translate_errors():
            try:
                found = await self._client.indices.get_settings(index=self._index.alias, name="index.uuid")
            except NotFoundError:
                return None
        return _uuid_in(found.body, self._index.alias)

    async def _hits(self, **search: Any) -> list[dict[str, Any]]:
        answer = await self._client.options(request_timeout=30).search(
            **search,
            source=False,
            docvalue_fields=[{"field": "version"}, {"field": "retracted"}],
            track_total_hits=False,
            filter_path="timed_out,_shards.failed,hits.hits._id,hits.hits.fields,hits.hits.sort",
        )
        hits: list[dict[str, Any]] = require_complete(answer.body).get("hits", {}).get("hits", [])
        return hits


class ElasticsearchStagingIndex(ElasticsearchContents):
    """`newswire_search.index.admin.StagingIndex` on Elasticsearch: it has no refreshes and no replicas until it is filled."""

    def __init__(self, current: ElasticsearchIndex, name: str) -> None:
        """Open a staging index with this name beside the index in use."""
        self.name = name
        self._settings_in_use = current.target.settings
        copies = {"auto_expand_replicas": "false", "number_of_replicas": 0}
        filling = {**current.target.settings, "refresh_interval": "-1", **copies}
        super().__init__(ElasticsearchIndex(current.client, current.target.namespace, filling, staging_name=name))

    async def finish(self) -> None:
        """Apply the settings of an index in use, and wait a limited time for the replicas."""
        changed = ("refresh_interval", "number_of_replicas", "auto_expand_replicas")
        settings = {name: self._settings_in_use[name] for name in changed if name in self._settings_in_use}
        async with translate_errors():
            await self._client.indices.put_settings(index=self.name, settings={"index": settings})
            await self.refresh()
            await self._client.options(request_timeout=REPLICAS_SECONDS + 30, ignore_status=408).cluster.health(
                index=self.name, wait_for_no_initializing_shards=True, timeout=f"{REPLICAS_SECONDS}s"
            )

    async def close(self) -> None:
        """Do nothing: the connections belong to the index in use."""


class ElasticsearchIndexAdmin(ElasticsearchContents):
    """`newswire_search.index.admin.IndexAdmin` on Elasticsearch."""

    async def mismatch(self) -> str | None:
        """Return why the mapping of the existing index does not match; None if it does."""
        async with translate_errors():
            names = await self._index.target.names()
        return None if self._with_alias(names) else mapping_mismatch(names)

    async def in_use(self) -> str | None:
        """Return the index that has the alias."""
        async with translate_errors():
            return self._with_alias(await self._index.target.names())

    async def is_empty(self) -> bool:
        """Return whether there is any document."""
        async with translate_errors():
            answer = await self._client.search(index=self._index.alias, size=0, track_total_hits=1)
        return bool(answer["hits"]["total"]["value"] == 0)

    async def unused(self) -> list[str]:
        """Return all indexes without the alias, of any mapping number."""
        async with translate_errors():
            names = await self._index.target.names()
        return sorted(names.keys() - {self._with_alias(names)})

    async def open_staging(self, name: str | None) -> StagingIndex:
        """Open or create a staging index; delete any other staging index that was left behind."""
        async with translate_errors():
            names = await self._index.target.names()
            if not self._with_alias(names) and not mapping_mismatch(names):
                # Before a writer creates it: it would choose the same name as this function.
                await self._index.target.ensure()
                names = await self._index.target.names()
            staging = ElasticsearchStagingIndex(
                self._index, name or next_index_name(self._index.target.stem, names, MAPPING_NUMBER)
            )
            for leftover, aliases in names.items():
                if f"{self._index.target.stem}-staging" in aliases and leftover != name:
                    await self._client.indices.delete(index=leftover)
            await staging.refresh()
        return staging

    async def pause_writes(self) -> None:
        """Block writes to all other indexes; Elasticsearch responds once writes in progress are done."""
        async with translate_errors():
            for name in await self._other_indexes():
                answer = await self._client.indices.add_block(index=name, block="write")
                # If the index is blocked already, by a process that was killed here, the response lists none and
                # does not wait.
                done = answer["shards_acknowledged"] or not answer["indices"]
                if not (answer["acknowledged"] and done):
                    raise DependencyUnavailableError(f"Elasticsearch: writing to {name} was not blocked in time")

    async def resume_writes(self) -> None:
        """Remove the write blocks."""
        async with translate_errors():
            for name in await self._other_indexes():
                await self._client.indices.put_settings(index=name, settings={"index.blocks.write": None})

    async def swap(self, staging: StagingIndex) -> None:
        """Move the alias. Processes of a release with another mapping have another alias, and are not affected."""
        alias = self._index.alias
        async with translate_errors():
            names = await self._index.target.names()
            actions: list[dict[str, Any]] = [
                {"remove": {"index": name, "alias": alias}} for name, aliases in names.items() if alias in aliases
            ]
            actions.append({"add": {"index": staging.name, "alias": alias, "is_write_index": True}})
            actions.append({"remove": {"index": staging.name, "alias": f"{self._index.target.stem}-staging"}})
            answer = await self._client.indices.update_aliases(actions=actions)
        if not answer["acknowledged"]:
            raise DependencyUnavailableError("Elasticsearch: not every node has acknowledged the new alias yet")

    async def drop(self, name: str) -> None:
        """Delete an index."""
        async with translate_errors():
            await self._client.indices.delete(index=name)

    async def _other_indexes(self) -> list[str]:
        names = await self._index.target.names()
        return [name for name, aliases in names.items() if f"{self._index.target.stem}-staging" not in aliases]

    def _with_alias(self, names: dict[str, list[str]]) -> str | None:
        return next((name for name, aliases in names.items() if self._index.alias in aliases), None)


def _uuid_in(found: Any, alias: str) -> str:
    """Return the UUID in a response with the settings of an index.

    Raises:
        DependencyUnavailableError: several indexes have the alias, or the response has another form. An operator has to act.
    """
    if isinstance(found, dict) and len(found) > 1:
        names = ", ".join(sorted(found))[:300]
        raise DependencyUnavailableError(
            f"Elasticsearch: several indexes have the alias {alias}: {names}; leave it to one"
        )
    try:
        (about,) = found.values()
        return str(about["settings"]["index"]["uuid"])
    except (AttributeError, ValueError, KeyError, TypeError) as error:
        raise DependencyUnavailableError(
            f"Elasticsearch: the settings of {alias} cannot be read: the response has no index.uuid"
        ) from error


def _indexed_version(hit: dict[str, Any]) -> IndexedVersion:
    fields = hit["fields"]
    return IndexedVersion(hit["_id"], int(fields["version"][0]), bool(fields["retracted"][0]))
