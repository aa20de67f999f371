"""The admin of an index on Elasticsearch.

Indexes are called ``namespace-articles-mapping-serial``. The one in use bears the alias ``namespace-articles-mapping``, one
that is being filled ``namespace-articles-staging``.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import Any

from elasticsearch import NotFoundError

from newswire.messaging.messages import DependencyUnavailableError
from newswire_search.index.admin import IndexedVersion, StagingIndex, next_index_name
from newswire_search.index.elasticsearch.index import (
    ElasticsearchIndex,
    mapping_mismatch,
    require_complete,
    translate_errors,
)
from newswire_search.index.mapping import MAPPING_NUMBER
from newswire_search.index.port import Operation, RejectedOperation, WriteStatus

PAGE = 2000
KEEP_SNAPSHOT = "2m"
REPLICAS_SECONDS = 60
"""How long the copies of a new index may take to be made before it comes into use without them."""


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
            await self._index.ensure()
            await self._client.options(request_timeout=60).indices.refresh(index=self._index.alias)

    async def lookup(self, ids: Sequence[str]) -> dict[str, IndexedVersion]:
        """Search by the ids: what is read is what a search sees, and no document has to be unpacked for it."""
        if not ids:
            return {}
        async with translate_errors():
            hits = await self._hits(
                index=self._index.alias, query={"ids": {"values": list(ids)}}, size=len(ids), sort="_doc"
            )
        return {hit["_id"]: _held(hit) for hit in hits}

    async def scan(self) -> AsyncIterator[list[IndexedVersion]]:
        """Go through a snapshot of the index."""
        async with translate_errors():
            answer = await self._client.open_point_in_time(index=self._index.alias, keep_alive=KEEP_SNAPSHOT)
        pit = {"id": answer["id"], "keep_alive": KEEP_SNAPSHOT}
        after: list[Any] | None = None
        try:
            while True:
                async with translate_errors():
                    hits = await self._hits(pit=pit, size=PAGE, sort="_shard_doc", search_after=after)
                if not hits:
                    return
                yield [_held(hit) for hit in hits]
                after = hits[-1]["sort"]
        finally:
            with suppress(NotFoundError):
                await self._client.close_point_in_time(id=pit["id"])

    async def identity(self) -> str | None:
        """Return the id that Elasticsearch gave the index."""
        async with translate_errors():
            try:
                found = await self._client.indices.get_settings(index=self._index.alias, name="index.uuid")
            except NotFoundError:
                return None
        (about,) = found.values()
        return str(about["settings"]["index"]["uuid"])

    async def _hits(self, **asked: Any) -> list[dict[str, Any]]:
        answer = await self._client.options(request_timeout=30).search(
            **asked,
            source=False,
            docvalue_fields=[{"field": "version"}, {"field": "retracted"}],
            track_total_hits=False,
            filter_path="timed_out,_shards.failed,hits.hits._id,hits.hits.fields,hits.hits.sort",
        )
        hits: list[dict[str, Any]] = require_complete(answer.body).get("hits", {}).get("hits", [])
        return hits


class ElasticsearchStagingIndex(ElasticsearchContents):
    """`newswire_search.index.admin.StagingIndex` on Elasticsearch: it neither refreshes nor has copies until it is filled."""

    def __init__(self, of: ElasticsearchIndex, name: str) -> None:
        """Prepare an index of this name beside another one."""
        self.name = name
        self._settings_in_use = of.settings
        filling = {**of.settings, "refresh_interval": "-1", "number_of_replicas": 0}
        super().__init__(ElasticsearchIndex(of.client, of.namespace, filling, staging=name))

    async def finish(self) -> None:
        """Give the index the settings of one in use, and wait a while for its copies."""
        wanted = {name: self._settings_in_use[name] for name in ("refresh_interval", "number_of_replicas")}
        async with translate_errors():
            await self._client.indices.put_settings(index=self.name, settings={"index": wanted})
            await self.refresh()
            await self._client.options(request_timeout=REPLICAS_SECONDS + 30, ignore_status=408).cluster.health(
                index=self.name, wait_for_no_initializing_shards=True, timeout=f"{REPLICAS_SECONDS}s"
            )

    async def close(self) -> None:
        """Leave everything as it is: the connections are those of the index in use."""


class ElasticsearchIndexAdmin(ElasticsearchContents):
    """`newswire_search.index.admin.IndexAdmin` on Elasticsearch."""

    async def mismatch(self) -> str | None:
        """Tell which mapping there is, where it is not this release's."""
        async with translate_errors():
            names = await self._index.names()
        return None if self._bearing(names) else mapping_mismatch(names)

    async def in_use(self) -> str | None:
        """Return which index bears the alias."""
        async with translate_errors():
            return self._bearing(await self._index.names())

    async def is_empty(self) -> bool:
        """Ask for any document."""
        async with translate_errors():
            answer = await self._client.search(index=self._index.alias, size=0, track_total_hits=1)
        return bool(answer["hits"]["total"]["value"] == 0)

    async def unused(self) -> list[str]:
        """Return all but the one that bears the alias, whatever their mapping."""
        async with translate_errors():
            names = await self._index.names()
        return sorted(names.keys() - {self._bearing(names)})

    async def open_staging(self, name: str | None) -> StagingIndex:
        """Open or make an index; another one that was to come into use, and is forgotten, goes."""
        async with translate_errors():
            names = await self._index.names()
            if not self._bearing(names) and not mapping_mismatch(names):
                # Before a writer does, who would choose the same name as is chosen here.
                await self._index.ensure()
                names = await self._index.names()
            staging = ElasticsearchStagingIndex(
                self._index, name or next_index_name(self._index.stem, names, MAPPING_NUMBER)
            )
            for forgotten, aliases in names.items():
                if f"{self._index.stem}-staging" in aliases and forgotten != name:
                    await self._client.indices.delete(index=forgotten)
            await staging.refresh()
        return staging

    async def pause_writes(self) -> None:
        """Block writing to all others; Elasticsearch answers once what was under way is done."""
        async with translate_errors():
            for name in await self._in_the_past():
                answer = await self._client.indices.add_block(index=name, block="write")
                # Of what is blocked already, by whoever was killed here, it names nothing and waits for nothing.
                done = answer["shards_acknowledged"] or not answer["indices"]
                if not (answer["acknowledged"] and done):
                    raise DependencyUnavailableError(f"Elasticsearch: writing to {name} could not be blocked in time")

    async def resume_writes(self) -> None:
        """Take the blocks away."""
        async with translate_errors():
            for name in await self._in_the_past():
                await self._client.indices.put_settings(index=name, settings={"index.blocks.write": None})

    async def swap(self, staging: StagingIndex) -> None:
        """Move the alias. Processes of a release with another mapping keep theirs, and read what they read before."""
        alias = self._index.alias
        async with translate_errors():
            names = await self._index.names()
            actions: list[dict[str, Any]] = [
                {"remove": {"index": name, "alias": alias}} for name, aliases in names.items() if alias in aliases
            ]
            actions.append({"add": {"index": staging.name, "alias": alias, "is_write_index": True}})
            actions.append({"remove": {"index": staging.name, "alias": f"{self._index.stem}-staging"}})
            answer = await self._client.indices.update_aliases(actions=actions)
        if not answer["acknowledged"]:
            raise DependencyUnavailableError("Elasticsearch: not every node has heard of the swap yet")

    async def drop(self, name: str) -> None:
        """Delete an index."""
        async with translate_errors():
            await self._client.indices.delete(index=name)

    async def _in_the_past(self) -> list[str]:
        names = await self._index.names()
        return [name for name, aliases in names.items() if f"{self._index.stem}-staging" not in aliases]

    def _bearing(self, names: dict[str, list[str]]) -> str | None:
        return next((name for name, aliases in names.items() if self._index.alias in aliases), None)


def _held(hit: dict[str, Any]) -> IndexedVersion:
    fields = hit["fields"]
    return IndexedVersion(hit["_id"], int(fields["version"][0]), bool(fields["retracted"][0]))
