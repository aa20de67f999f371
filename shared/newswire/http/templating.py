"""HTML pages: a common shell, a style sheet, and rendering."""

import hashlib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from fastapi import APIRouter
from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse, Response

from newswire.http.problems import not_found

_TYPES = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}
_FOR_EVER = "public, max-age=31536000, immutable"

_SERVICES_WITH_FOLDER = ("ingest", "notify")

assets = APIRouter(include_in_schema=False)
_assets: dict[str, tuple[bytes, str]] = {}


def add_asset(package: str, name: str, *, service: str | None = None) -> str:
    """Serve ``assets/<name>`` of a package, cacheable forever, at an address that changes with its content; return it.

    The address names the service that has the file, so that a gateway can find it; those of search and of all services name
    none. ``service`` is needed for a shared file that only some services load.
    """
    content = files(package).joinpath("assets", name).read_bytes()
    own = package.partition(".")[0].removeprefix("newswire_")
    folder = service or (own if own in _SERVICES_WITH_FOLDER else "")
    return add_asset_content(name, content, _TYPES[name.rpartition(".")[2]], folder=folder)


def add_asset_content(name: str, content: bytes, media_type: str, *, folder: str = "") -> str:
    """Serve content with unlimited caching under an address that begins with its name and changes with it; return that address."""
    stem, _, kind = name.rpartition(".")
    path = f"/assets/{folder}{'/' if folder else ''}{stem}.{hashlib.sha256(content).hexdigest()[:12]}.{kind}"
    _assets[path] = content, media_type
    return path


STYLE_SHEET = add_asset("newswire.http", "newswire.css")


@assets.get("/assets/{name:path}")
async def asset(name: str) -> Response:
    """Return a style sheet, script or image of a page."""
    found = _assets.get(f"/assets/{name}")
    if found is None:
        raise not_found("file")
    return Response(found[0], media_type=found[1], headers={"Cache-Control": _FOR_EVER})


def templates(package: str = "newswire.http", frame: str = "newswire.http") -> Environment:
    """Return the templates of a package, with all values escaped; they may extend those of a second one.

    By default that is ``shell.html`` of this one, which has the blocks ``title``, ``head``, ``main`` and takes an optional
    ``language``.
    """
    return _environment(package, frame)


@cache
def _environment(package: str, frame: str) -> Environment:
    loaders = [PackageLoader(name) for name in dict.fromkeys((package, frame))]
    environment = Environment(
        loader=ChoiceLoader(loaders), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.globals["style_sheet"] = STYLE_SHEET
    return environment


def render(
    template: str,
    package: str = "newswire.http",
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    **values: object,
) -> HTMLResponse:
    """Render a template of a package with these values."""
    return HTMLResponse(templates(package).get_template(template).render(values), status, dict(headers or {}))
