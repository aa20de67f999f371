"""Responses of rate limits: headers and problem documents, according to draft-ietf-httpapi-ratelimit-headers-10."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from newswire.http.problems import ProblemError, problem
from newswire.rate_limits import RatePolicy, Standing


def limit_headers(standings: Sequence[Standing]) -> dict[str, str]:
    """Return `RateLimit-Policy` and `RateLimit` of policies with what is left of each, and the seconds until there is more."""
    return {
        "RateLimit-Policy": ", ".join(_described(policy) for policy, _, _ in standings),
        "RateLimit": ", ".join(f'"{policy.name}";r={max(left, 0)};t={seconds}' for policy, left, seconds in standings),
    }


def rate_limited(
    policy: RatePolicy, detail: str, seconds: int, headers: Mapping[str, str] = MappingProxyType({})
) -> ProblemError:
    """Return the problem of a request that exceeds a rate (429). ``seconds``: until the client may send it again."""
    extra = {"violated-policies": [policy.name]}
    return problem(429, "rate-limited", detail, headers={**headers, "Retry-After": str(seconds)}, extra=extra)


def _described(policy: RatePolicy) -> str:
    if not policy.window:
        return f'"{policy.name}";q={policy.quota};qu="concurrent-requests"'
    return f'"{policy.name}";q={policy.quota};w={policy.window}'
