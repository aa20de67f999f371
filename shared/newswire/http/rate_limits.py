"""Response headers of rate limits, according to draft-ietf-httpapi-ratelimit-headers-10."""

from collections.abc import Sequence

from newswire.rate_limits import RatePolicy, Standing


def limit_headers(standings: Sequence[Standing]) -> dict[str, str]:
    """Return `RateLimit-Policy` and `RateLimit` of policies with what is left of each, and the seconds until there is more."""
    return {
        "RateLimit-Policy": ", ".join(_described(policy) for policy, _, _ in standings),
        "RateLimit": ", ".join(f'"{policy.name}";r={max(left, 0)};t={seconds}' for policy, left, seconds in standings),
    }


def _described(policy: RatePolicy) -> str:
    if not policy.window:
        return f'"{policy.name}";q={policy.quota};qu="concurrent-requests"'
    return f'"{policy.name}";q={policy.quota};w={policy.window}'
