"""Writes batches to Elasticsearch, and waits until searches see them.

Documents are written with external versions, so that redelivered and late events change nothing. A retraction is a tombstone
with the same version, never a delete: Elasticsearch forgets the version of a deleted document after a minute.
"""

import asyncio
import re
import time
from collections import deque
from collections.abc import Iterator, Sequence
from http import HTTPStatus

import orjson
from elasticsearch import ApiError

from newswire.messaging.messages import DependencyUnavailableError
from newswire_search.index.elasticsearch.query import Body
from newswire_search.index.elasticsearch.responses import hits_of, is_missing, require_complete, translate_errors
from newswire_search.index.elasticsearch.stored_articles import source_members
from newswire_search.index.elasticsearch.target import IndexTarget
from newswire_search.index.mapping import fields_of
from newswire_search.index.models import Operation, Publish, RejectedOperation, WriteStatus

BULK_OPERATIONS, BULK_BYTES = 200, 8_000_000
MAX_CONCURRENT_BULKS = 2
"""How many bulk requests of a batch the server handles at a time."""
VISIBLE_POLL_SECONDS, VISIBLE_TIMEOUT_SECONDS = 0.05, 10.0
LINES_PER_OPERATION = 2
_QUOTED_TEXT = re.compile(
    r"\s*(?:Preview of field's value:|original message:|prefix of the first immense term).*", re.DOTALL
)
"""What Elasticsearch quotes of an article that it rejects; removed, because logs and dead letters outlive a retraction."""
_OF_THE_INDEX = re.compile(
    r"index_closed_exception|illegal_argument_exception: (?:no write index is defined|pipeline with id \[[^]]*\] does not exist)"
)
"""How errors with status 400 begin that say nothing about the article: an operator closed the index, or changed its alias or
pipeline. Only their beginning is compared: what follows may quote the article, which must not be able to stop the consumer.
"""


class _TooLargeError(Exception):
    """A request has more bytes than the server accepts."""


async def write_batch(target: IndexTarget, operations: Sequence[Operation]) -> list[WriteStatus | RejectedOperation]:
    """Write a batch in bulk requests; it becomes visible with the next refresh.

    While the server handles one bulk request, the next is prepared in a thread, so that the event loop is not blocked.
    """
    results: list[WriteStatus | RejectedOperation] = []
    in_flight: deque[asyncio.Task[list[WriteStatus | RejectedOperation]]] = deque()
    try:
        for at in range(0, len(operations), BULK_OPERATIONS):
            part = operations[at : at + BULK_OPERATIONS]
            for lines in await asyncio.to_thread(list, _bulk_bodies(part)):
                in_flight.append(asyncio.create_task(_write_lines(target, lines)))
                if len(in_flight) == MAX_CONCURRENT_BULKS:
                    results += await in_flight[0]
                    in_flight.popleft()
        while in_flight:
            results += await in_flight[0]
            in_flight.popleft()
    finally:
        for task in in_flight:
            task.cancel()
        await asyncio.gather(*in_flight, return_exceptions=True)
    return results


async def _write_lines(target: IndexTarget, lines: list[bytes]) -> list[WriteStatus | RejectedOperation]:
    """Write the operations of some lines. If they are too many for the server, or for a proxy, write each half."""
    try:
        return await _write_at_once(target, lines)
    except _TooLargeError:
        if len(lines) == LINES_PER_OPERATION:
            return [RejectedOperation("it is larger than Elasticsearch, or a proxy in front of it, accepts (413)")]
        middle = len(lines) // 2 // LINES_PER_OPERATION * LINES_PER_OPERATION
        return [*await _write_lines(target, lines[:middle]), *await _write_lines(target, lines[middle:])]


async def _write_at_once(target: IndexTarget, lines: list[bytes]) -> list[WriteStatus | RejectedOperation]:
    async with translate_errors():
        answer = await _bulk(target, lines)
        if any(is_missing(item) for item in answer):
            await target.ensure()
            answer = await _bulk(target, lines)
        return [_result(item) for item in answer]


async def _bulk(target: IndexTarget, lines: list[bytes]) -> list[Body]:
    try:
        answer = await target.client.options(request_timeout=30).bulk(
            index=target.alias,
            operations=lines,  # type: ignore[arg-type]  # serialized lines are sent unchanged
            # Otherwise the server would create an index with that name and a guessed mapping.
            require_alias=True,
            filter_path="items.*.status,items.*.error.type,items.*.error.reason",
        )
    except ApiError as error:
        if error.status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            raise _TooLargeError from error
        raise
    return [item["index"] for item in answer["items"]]


async def wait_until_visible(target: IndexTarget, operations: Sequence[Operation]) -> None:
    """Wait until a search sees each of these operations, or a later one of the same article.

    The last operation is polled first: usually the others are visible with it. But shards, and bulk requests that the server
    handled at the same time, may be refreshed one after the other.

    This polls what a search sees. Writing with ``refresh=wait_for`` would delay each batch by a refresh interval, and
    ``refresh=true`` would create a segment per batch.
    """
    newest = {operation.id: operation for operation in sorted(operations, key=lambda operation: operation.version)}
    deadline = time.monotonic() + VISIBLE_TIMEOUT_SECONDS
    async with translate_errors():
        for awaited in ([newest[operations[-1].id]], list(newest.values())):
            while awaited and time.monotonic() < deadline:
                visible = await _visible(target, [operation.id for operation in awaited[:BULK_OPERATIONS]])
                missing = [each for each in awaited[:BULK_OPERATIONS] if not _is_visible(each, visible.get(each.id))]
                awaited = missing + awaited[BULK_OPERATIONS:]
                if missing:
                    await asyncio.sleep(VISIBLE_POLL_SECONDS)


async def _visible(target: IndexTarget, ids: Sequence[str]) -> dict[str, Body]:
    """Return version and state of those articles that a search currently sees."""
    answer = await target.request(
        lambda: target.client.search(
            index=target.alias,
            query={"ids": {"values": list(ids)}},
            size=len(ids),
            sort="_doc",
            track_total_hits=False,
            source=False,
            docvalue_fields=[{"field": "version"}, {"field": "retracted"}],
            filter_path="timed_out,_shards.failed,hits.hits._id,hits.hits.fields",
        )
    )
    return {
        hit["_id"]: {name: values[0] for name, values in hit["fields"].items()}
        for hit in hits_of(require_complete(answer.body))
    }


def _is_visible(operation: Operation, visible: Body | None) -> bool:
    if visible is None:
        return False
    if visible["version"] == operation.version:
        return isinstance(operation, Publish) or bool(visible["retracted"])
    return bool(visible["version"] > operation.version)


def _bulk_bodies(operations: Sequence[Operation]) -> Iterator[list[bytes]]:
    lines: list[bytes] = []
    size = 0
    for operation in operations:
        pair = _index_action(operation)
        pair_bytes = sum(map(len, pair))
        if lines and size + pair_bytes > BULK_BYTES:
            yield lines
            lines, size = [], 0
        lines += pair
        size += pair_bytes
    if lines:
        yield lines


def _index_action(operation: Operation) -> tuple[bytes, bytes]:
    """Return the two lines of an operation: the action, and the document."""
    id_ = orjson.dumps(operation.id)
    if isinstance(operation, Publish):
        document = {
            "id": operation.id,
            "version": operation.version,
            "retracted": False,
            **source_members(operation.document),
            **fields_of(operation.article),
        }
        return _PUBLISH % (id_, operation.version), orjson.dumps(document)
    return _RETRACT % (id_, operation.version), _TOMBSTONE % (id_, operation.version)


_PUBLISH = b'{"index":{"_id":%b,"version":%d,"version_type":"external"}}'
_RETRACT = b'{"index":{"_id":%b,"version":%d,"version_type":"external_gte"}}'
_TOMBSTONE = b'{"id":%b,"version":%d,"retracted":true}'


def _result(item: Body) -> WriteStatus | RejectedOperation:
    status, error = item["status"], item.get("error", {})
    if status < 300:
        return WriteStatus.APPLIED
    if status == 409:
        return WriteStatus.SUPERSEDED
    reason = f"{error.get('type')}: {_QUOTED_TEXT.sub('', str(error.get('reason')))}"
    if status == 400 and not _OF_THE_INDEX.match(reason):
        return RejectedOperation(reason[:500])
    raise DependencyUnavailableError(f"Elasticsearch: {status} {reason}")
