"""Batch publishing: one article per line of the request, and one result line per article as soon as it is written."""

import asyncio
from collections.abc import AsyncIterable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import orjson
from pydantic import BaseModel

from newswire.article import ArticleDraft
from newswire.http.problem_handlers import as_problem
from newswire.http.problems import ProblemError, too_large, unexpected
from newswire.http.request_parsing import MAX_BODY_BYTES, ParsedBody, parse_json, validate_body
from newswire.storage.replication import ReplicationBarrier
from newswire.timestamps import utc_now
from newswire_ingest.articles.disk_buffer import DiskBuffer
from newswire_ingest.articles.dry_run import DryRun
from newswire_ingest.articles.models import PATH, Effect, WriteCommand, WriteResult
from newswire_ingest.articles.ndjson import Line, lines
from newswire_ingest.articles.publishing import fingerprint
from newswire_ingest.articles.service import ArticleService
from newswire_ingest.articles.write_context import IdempotencyScope
from newswire_ingest.limits.limits import Limits
from newswire_ingest.problem_handlers import PROBLEMS

MAX_LINES_IN_FLIGHT = 256
LINES_PER_TURN = 16
"""In a dry run, the event loop handles other requests after this many lines: 256 lines at once block it for 50 ms. Published lines
wait for the store; the more of them wait together, the fewer writes the store has to sync.
"""
LARGE_LINE_BYTES = 64 * 1024
"""While a line of more bytes is being published, no further line is read. This bounds the memory of the lines in flight."""


class BatchLineResult(BaseModel):
    """The result of one line. ``error`` is the problem document that a single request with this article would get."""

    line: int
    status: int
    id: str | None = None
    version: int | None = None
    url: str | None = None
    effect: Effect | None = None
    """What the line did to its article, or in a dry run would do."""
    changed: list[str] | None = None
    """In a dry run: the members of the article that would change."""
    dry_run: bool | None = None
    """True in a dry run: nothing was written."""
    error: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """The parameters that all lines of one request share."""

    articles: ArticleService
    limits: Limits
    command: WriteCommand
    """The command of the request; each line has its own fingerprint."""
    key: str | None
    """The ``Idempotency-Key`` of the request. With its number, it identifies a line without an external id."""
    silent: bool
    dry_run: DryRun | None = None
    """The dry run, if nothing is to be written."""
    barrier: ReplicationBarrier | None = None
    """Confirms that replicas of Redis have a line before its result is sent."""

    async def publish(self, chunks: AsyncIterable[bytes], answers: DiskBuffer) -> None:
        """Publish every line, and write the results in the order of the lines. An error in one line does not affect the others."""
        in_flight: asyncio.Queue[asyncio.Task[bytes] | None] = asyncio.Queue(MAX_LINES_IN_FLIGHT)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_collect(in_flight, answers))
            latest: dict[str, asyncio.Task[bytes]] = {}
            async for line in lines(chunks, MAX_BODY_BYTES):
                sent = self._read(line)
                external_id = sent.model.external_id if isinstance(sent, ParsedBody) else None
                task = tasks.create_task(self._answer(line.number, sent, latest.get(external_id or "")))
                if external_id is not None:
                    latest[external_id] = task
                    task.add_done_callback(partial(_forget, latest, external_id))
                await in_flight.put(task)
                if line.text is not None and len(line.text) > LARGE_LINE_BYTES:
                    await asyncio.wait([task])
                elif self.dry_run and line.number % LINES_PER_TURN == 0:
                    await asyncio.sleep(0)
            await in_flight.put(None)

    def _read(self, line: Line) -> ParsedBody[ArticleDraft] | ProblemError:
        try:
            if line.text is None:
                raise too_large(MAX_BODY_BYTES)
            raw = parse_json(line.text)
            if self.silent and isinstance(raw, dict):
                raw.setdefault("silent", True)
            return validate_body(raw, ArticleDraft)
        except ProblemError as problem:
            return problem

    async def _answer(
        self, number: int, sent: ParsedBody[ArticleDraft] | ProblemError, before: asyncio.Task[bytes] | None
    ) -> bytes:
        if before is not None:  # an earlier line about the same article must be written first
            await asyncio.wait([before])
        try:
            if isinstance(sent, ProblemError):
                raise sent
            answer = await (self._dry_run_line if self.dry_run else self._publish)(number, sent)
        except Exception as error:  # noqa: BLE001 (an error in one line must not stop the others)
            problem = as_problem(error, PROBLEMS) or unexpected("POST", f"{PATH}/batch", error)
            answer = {"line": number, "status": problem.status, "error": problem.document()}
        return orjson.dumps(answer, option=orjson.OPT_APPEND_NEWLINE)

    async def _publish(self, number: int, sent: ParsedBody[ArticleDraft]) -> dict[str, Any]:
        self.limits.check_memory()
        await self.limits.admit(self.command.caller, utc_now())
        command = self._change(number, sent)
        history = await self.barrier.history() if self.barrier else None
        if sent.model.external_id is not None:
            done = await self.articles.put_external(sent.model.external_id, sent.model, command, imported=True)
        else:
            done = await self.articles.create(sent.model, command)
        if self.barrier:
            await self.barrier.confirm(history)
        return {"line": number, "status": 201 if done.created else 200, "id": done.article_id} | _result_line(done)

    async def _dry_run_line(self, number: int, sent: ParsedBody[ArticleDraft]) -> dict[str, Any]:
        """Return what `_publish` would do. It takes as long, so it counts towards the rate, but it needs no memory in Redis."""
        assert self.dry_run is not None  # noqa: S101 (for the type checker: it is called in dry runs only)
        await self.limits.admit(self.command.caller, utc_now())
        return {"line": number} | await self.dry_run.line(sent.model, self._change(number, sent))

    def _change(self, number: int, sent: ParsedBody[ArticleDraft]) -> WriteCommand:
        command = replace(self.command, fingerprint=fingerprint(sent.raw))
        if self.key is None or sent.model.external_id is not None:
            return command
        idempotency = IdempotencyScope(command.caller.account, "POST", f"{PATH}/batch", f"{self.key} {number}")
        return replace(command, idempotency=idempotency)


def _forget(latest: "dict[str, asyncio.Task[bytes]]", external_id: str, done: "asyncio.Task[bytes]") -> None:
    if latest.get(external_id) is done:
        del latest[external_id]


async def _collect(in_flight: "asyncio.Queue[asyncio.Task[bytes] | None]", answers: DiskBuffer) -> None:
    """Write the results in order. Results that are complete are written together, because each write wakes up the reader."""
    ready: list[bytes] = []

    async def write_ready() -> None:
        if ready:
            await answers.write(b"".join(ready))
            ready.clear()

    while (task := await in_flight.get()) is not None:
        if not task.done():
            await write_ready()
        ready.append(await task)
        if in_flight.empty():
            await write_ready()
    await write_ready()
    await answers.complete()


def _result_line(done: WriteResult) -> dict[str, Any]:
    address = {"url": done.view["url"]} if "url" in done.view else {}
    return {"version": done.view["version"], **address, "effect": done.effect}
