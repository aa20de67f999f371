"""Stories sent through the API, as every publisher's are."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import httpx
import orjson

from newswire_cli.patience import LATER, TRIES, pause, retry_after, unreachable

PATH = "/v1/articles/batch"
LARGEST_ARTICLE = 1024 * 1024
"""Bytes as JSON; the API refuses more."""


class Verdict(StrEnum):
    """What became of an article that was sent."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    LEFT = "left"
    """As it is, on purpose."""
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one article, and why."""

    verdict: Verdict
    reason: str = ""
    changed: tuple[str, ...] = ()
    """The members in which it differs from what was there; told in a dry run."""


class Stopped(Exception):
    """It makes no sense to go on: the message says why."""


@dataclass(frozen=True, slots=True)
class _Reply:
    status: int
    document: dict[str, Any]
    wait: float = 0.0


_UNANSWERED = _Reply(503, {"detail": "the answer broke off"})
_LEFT = {"retracted": "was retracted, and stays so", "older-version": "is older than the version that is there"}
"""Problems, by their types, that are no failures of an import: what they are called."""


class Sender:
    """Sends articles with one key to one site. Waiting is injected, so that tests do not.

    ``dry_run``: the server says what it would do, and does nothing. ``waiting`` is called, once an outage, with the
    reason why nothing is sent for the moment.
    """

    def __init__(
        self,
        client: httpx.Client,
        *,
        silent: bool = False,
        dry_run: bool = False,
        sleep: Callable[[float], object] = time.sleep,
        waiting: Callable[[str], object] = lambda _: None,
    ) -> None:
        self._client = client
        self._params = {name: "true" for name, wanted in (("silent", silent), ("dry_run", dry_run)) if wanted}
        self._sleep = sleep
        self._waiting = waiting
        self._reported = ""

    def send(self, drafts: Sequence[dict[str, Any]]) -> list[Answer]:
        """Send articles; what is refused for the moment is sent again, as often as is sensible.

        Raises:
            Stopped: the key is refused, or the site cannot be reached or takes no requests for a long time.
        """
        answers = [_checked(draft) for draft in drafts]
        waiting = [at for at, answer in enumerate(answers) if answer is None]
        for attempt in range(TRIES):
            replies, problem, wait = self._try([drafts[at] for at in waiting])
            for at, reply in zip(waiting, replies, strict=True):
                answers[at] = _answer(reply) if reply else None
            waiting = [at for at in waiting if answers[at] is None]
            if not waiting:
                self._reported = ""
                break
            if attempt == TRIES - 1:
                raise Stopped(problem)
            if problem != self._reported:
                self._reported = problem
                self._waiting(f"{problem}; trying again for about a minute")
            self._sleep(pause(attempt, wait))
        return [answer for answer in answers if answer]

    def _try(self, drafts: Sequence[dict[str, Any]]) -> tuple[list[_Reply | None], str, float]:
        """Send once; return the replies (None where it is worth trying again), why, and how long the server wants to wait."""
        try:
            replies = self._exchange(drafts)
        except httpx.TransportError as error:
            return [None] * len(drafts), unreachable(self._client, error), 0.0
        later = [reply for reply in replies if reply.status in LATER]
        problem = f"{self._client.base_url} answers {later[0].status} {_reason(later[0])}" if later else ""
        wait = max((reply.wait for reply in later), default=0.0)
        return [None if reply.status in LATER else reply for reply in replies], problem, wait

    def _exchange(self, drafts: Sequence[dict[str, Any]]) -> list[_Reply]:
        """Send lines and return what each was answered; those behind the end of an answer that broke off, try again."""
        if not drafts:
            return []
        content = b"".join(orjson.dumps(draft, option=orjson.OPT_APPEND_NEWLINE) for draft in drafts)
        headers = {"Content-Type": "application/x-ndjson"}
        answer = self._client.post(PATH, content=content, params=self._params, headers=headers)
        whole = _Reply(answer.status_code, _object(answer.content), retry_after(answer))
        if answer.status_code in (401, 403):
            raise Stopped(f"the key is refused: {_reason(whole)}")
        if answer.status_code in LATER:
            return [whole] * len(drafts)
        if answer.status_code != httpx.codes.OK:
            raise Stopped(f"{answer.url} answers {answer.status_code} {_reason(whole)}")
        lines = [_object(line) for line in answer.content.splitlines()][: len(drafts)]
        replies = [_Reply(line.get("status", 503), line) for line in lines]
        return replies + [_UNANSWERED] * (len(drafts) - len(replies))


def _checked(draft: dict[str, Any]) -> Answer | None:
    if len(orjson.dumps(draft)) > LARGEST_ARTICLE:
        return Answer(
            Verdict.FAILED, f"is larger than {LARGEST_ARTICLE:,} bytes as JSON, the most that an article may have"
        )
    return None


def _object(content: bytes) -> dict[str, Any]:
    try:
        document = orjson.loads(content)
    except orjson.JSONDecodeError:
        return {}
    return document if isinstance(document, dict) else {}


def _answer(reply: _Reply) -> Answer:
    if reply.status in (200, 201):
        return Answer(
            Verdict(reply.document.get("effect", Verdict.CREATED if reply.status == 201 else Verdict.UNCHANGED)),
            changed=tuple(reply.document.get("changed", ())),
        )
    kind = str(_problem(reply).get("type", "")).rpartition(":")[2]
    if kind in _LEFT:
        return Answer(Verdict.LEFT, _LEFT[kind])
    return Answer(Verdict.FAILED, f"{reply.status} {_reason(reply)}")


def _problem(reply: _Reply) -> dict[str, Any]:
    """Return the problem document, which a line carries inside."""
    inside = reply.document.get("error")
    return inside if isinstance(inside, dict) else reply.document


def _reason(reply: _Reply) -> str:
    problem = _problem(reply)
    return str(problem.get("detail") or problem.get("title") or "").strip()
