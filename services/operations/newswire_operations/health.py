"""Health checks of all replicas, combined by service."""

from collections.abc import Iterable
from typing import Any

from newswire_operations.replicas import ReplicaResponse


def reachability(responses: Iterable[ReplicaResponse]) -> dict[str, str | None]:
    """Return one check for each service: whether every replica answers, and in the expected form."""
    checks: dict[str, str | None] = {}
    for response in responses:
        error = response.error or _unexpected_status(response)
        _add(checks, f"{response.service}: replicas", response, error)
    return checks


def reported(responses: Iterable[ReplicaResponse], member: str) -> dict[str, str | None]:
    """Return the checks or loops that the replicas report themselves, each under the name of its service."""
    checks: dict[str, str | None] = {}
    for response in responses:
        for name, state in _member(response, member).items():
            prefix = "" if name.startswith(f"{response.service}: ") else f"{response.service}: "
            _add(checks, prefix + name, response, None if state == "ok" else str(state))
    return checks


def release_of(response: ReplicaResponse) -> str | None:
    """Return the release that a replica reports."""
    release = _document(response).get("version")
    return release if isinstance(release, str) else None


def _add(checks: dict[str, str | None], name: str, response: ReplicaResponse, error: str | None) -> None:
    """Add the result of one replica to a check that all replicas of its service share."""
    errors = [checks.get(name), f"{response.instance} {error}" if error else None]
    checks[name] = ", ".join(filter(None, errors)) or None


def _unexpected_status(response: ReplicaResponse) -> str | None:
    if response.response is None or response.response.status_code == 200 or _member(response, "checks"):
        return None
    return f"answers {response.response.status_code}"


def _member(response: ReplicaResponse, name: str) -> dict[str, Any]:
    results = _document(response).get(name)
    return results if isinstance(results, dict) else {}


def _document(response: ReplicaResponse) -> dict[str, Any]:
    if response.response is None:
        return {}
    try:
        document = response.response.json()
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}
