"""Uploads articles through the batch endpoint of the publishers' API."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import httpx
import orjson

from newswire_cli.client.retry import MAX_ATTEMPTS, RETRIED_STATUSES, connection_error, retry_after, retry_delay

PATH = "/v1/articles/batch"
MAX_ARTICLE_BYTES = 1024 * 1024
"""As JSON; the API rejects larger articles."""


class Effect(StrEnum):
    """What the upload of one article has done."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    SKIPPED = "skipped"
    """The article on the server must not be changed."""
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class UploadResult:
    """The result for one article, and the reason if it was not stored."""

    effect: Effect
    reason: str = ""
    changed: tuple[str, ...] = ()
    """The members that would change; set only in a dry run."""


class UploadStoppedError(Exception):
    """The upload cannot continue; the message says why."""


@dataclass(frozen=True, slots=True)
class _Response:
    """The server's response to one article."""

    status: int
    document: dict[str, Any]
    retry_after: float = 0.0


_MISSING = _Response(503, {"detail": "the response was cut off"})
_SKIPPED = {
    "retracted": "was retracted, and stays retracted",
    "older-version": "is older than the version that is published",
}
"""Problem types that are not failures of an import, with the reason to print."""


class Uploader:
    """Uploads articles with one key to one site.

    Args:
        dry_run: the server reports what it would do and changes nothing.
        sleep: waits before a retry; tests replace it.
        report_outage: called once per outage with the reason for the pause.
    """

    def __init__(
        self,
        client: httpx.Client,
        *,
        silent: bool = False,
        dry_run: bool = False,
        sleep: Callable[[float], object] = time.sleep,
        report_outage: Callable[[str], object] = lambda _: None,
    ) -> None:
        self._client = client
        self._params = {name: "true" for name, enabled in (("silent", silent), ("dry_run", dry_run)) if enabled}
        self._sleep = sleep
        self._report_outage = report_outage
        self._reported = ""

    def send(self, drafts: Sequence[dict[str, Any]]) -> list[UploadResult]:
        """Upload articles; retry those that the server rejects temporarily.

        Raises:
            UploadStoppedError: the key is rejected, or the site stays unreachable or overloaded.
        """
        results = [_check_size(draft) for draft in drafts]
        pending = [position for position, result in enumerate(results) if result is None]
        for attempt in range(MAX_ATTEMPTS):
            responses, problem, delay = self._try([drafts[position] for position in pending])
            for position, response in zip(pending, responses, strict=True):
                results[position] = _result(response) if response else None
            pending = [position for position in pending if results[position] is None]
            if not pending:
                self._reported = ""
                break
            if attempt == MAX_ATTEMPTS - 1:
                raise UploadStoppedError(problem)
            if problem != self._reported:
                self._reported = problem
                self._report_outage(f"{problem}; retrying for about a minute")
            self._sleep(retry_delay(attempt, delay))
        return [result for result in results if result]

    def _try(self, drafts: Sequence[dict[str, Any]]) -> tuple[list[_Response | None], str, float]:
        """Send once; return the responses (None for those to retry), the reason, and the delay that the server requests."""
        try:
            responses = self._post(drafts)
        except httpx.TransportError as error:
            return [None] * len(drafts), connection_error(self._client, error), 0.0
        temporary = [response for response in responses if response.status in RETRIED_STATUSES]
        problem = ""
        if temporary:
            problem = f"{self._client.base_url} answers {temporary[0].status} {_reason(temporary[0])}"
        delay = max((response.retry_after for response in temporary), default=0.0)
        return (
            [None if response.status in RETRIED_STATUSES else response for response in responses],
            problem,
            delay,
        )

    def _post(self, drafts: Sequence[dict[str, Any]]) -> list[_Response]:
        """Send the articles as lines and return the response to each; 503 for those missing from a response that was cut off."""
        if not drafts:
            return []
        content = b"".join(orjson.dumps(draft, option=orjson.OPT_APPEND_NEWLINE) for draft in drafts)
        headers = {"Content-Type": "application/x-ndjson"}
        http_response = self._client.post(PATH, content=content, params=self._params, headers=headers)
        whole = _Response(http_response.status_code, _object(http_response.content), retry_after(http_response))
        if whole.status in (401, 403):
            raise UploadStoppedError(f"the key is rejected: {_reason(whole)}")
        if whole.status in RETRIED_STATUSES:
            return [whole] * len(drafts)
        if whole.status != httpx.codes.OK:
            raise UploadStoppedError(f"{http_response.url} answers {whole.status} {_reason(whole)}")
        lines = [_object(line) for line in http_response.content.splitlines()][: len(drafts)]
        responses = [_Response(line.get("status", 503), line) for line in lines]
        return responses + [_MISSING] * (len(drafts) - len(responses))


def _check_size(draft: dict[str, Any]) -> UploadResult | None:
    if len(orjson.dumps(draft)) > MAX_ARTICLE_BYTES:
        return UploadResult(
            Effect.FAILED, f"is larger than {MAX_ARTICLE_BYTES:,} bytes as JSON, the maximum for an article"
        )
    return None


def _object(content: bytes) -> dict[str, Any]:
    try:
        document = orjson.loads(content)
    except orjson.JSONDecodeError:
        return {}
    return document if isinstance(document, dict) else {}


def _result(response: _Response) -> UploadResult:
    if response.status in (200, 201):
        default = Effect.CREATED if response.status == 201 else Effect.UNCHANGED
        effect = Effect(response.document.get("effect", default))
        return UploadResult(effect, changed=tuple(response.document.get("changed", ())))
    kind = str(_problem(response).get("type", "")).rpartition(":")[2]
    if kind in _SKIPPED:
        return UploadResult(Effect.SKIPPED, _SKIPPED[kind])
    return UploadResult(Effect.FAILED, f"{response.status} {_reason(response)}")


def _problem(response: _Response) -> dict[str, Any]:
    """Return the problem document: a line of a batch contains it as a member."""
    inside = response.document.get("error")
    return inside if isinstance(inside, dict) else response.document


def _reason(response: _Response) -> str:
    problem = _problem(response)
    return str(problem.get("detail") or problem.get("title") or "").strip()
