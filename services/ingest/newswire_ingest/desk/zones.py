"""The time zone of a browser, in a cookie, and times in it."""

from datetime import UTC, datetime
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

from babel.dates import format_datetime
from starlette.requests import Request
from starlette.responses import Response

from newswire.text.dates import locale_of_texts

COOKIE = "newswire-zone"
_YEAR = 365 * 24 * 3600


@cache
def zone_names() -> tuple[str, ...]:
    """Return the names of the zones that have a place, and UTC."""
    areas = ("Africa/", "America/", "Antarctica/", "Asia/", "Atlantic/", "Australia/", "Europe/", "Indian/", "Pacific/")
    return ("UTC", *sorted(name for name in available_timezones() if name.startswith(areas)))


def zone_of(request: Request) -> str:
    """Return the zone that was chosen in a browser; UTC before one was."""
    chosen = request.cookies.get(COOKIE, "").replace("%2F", "/")
    return chosen if chosen in zone_names() else "UTC"


def keep_zone(response: Response, zone: str, *, secure: bool) -> None:
    """Remember the zone in the browser."""
    response.set_cookie(COOKIE, zone, max_age=_YEAR, path="/", secure=secure, httponly=True, samesite="lax")


def shown(at: datetime, zone: str, language: str) -> str:
    """Return a time in a zone, with its name, and in UTC."""
    locale = locale_of_texts(language)
    utc = format_datetime(at.astimezone(UTC), "d MMM y, HH:mm", locale=locale)
    if zone == "UTC":
        return f"{utc} UTC"
    there = at.astimezone(ZoneInfo(zone))
    hours = "HH:mm" if there.date() == at.astimezone(UTC).date() else "d MMM, HH:mm"
    local = format_datetime(there, "d MMM y, HH:mm", locale=locale)
    return f"{local} {zone} ({format_datetime(at.astimezone(UTC), hours, locale=locale)} UTC)"


def local_input(at: datetime, zone: str) -> str:
    """Return a time as a field for local times has it."""
    return at.astimezone(ZoneInfo(zone)).replace(tzinfo=None).isoformat(timespec="minutes")
