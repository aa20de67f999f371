"""The style sheet and the scripts of the desk, at addresses that change with their content."""

import logging
import re
from importlib.resources import files

from newswire.http.templating import add_asset, add_asset_content

PACKAGE = "newswire_ingest.desk"
FOLDER = "ingest"
_IMPORT = re.compile(r'from "\./([\w/]+\.js)"')
_SCRIPT = "text/javascript; charset=utf-8"

log = logging.getLogger(__name__)


def _module(name: str) -> str:
    """Serve a module of ``assets`` with those that it imports, and return its address."""
    path = files(PACKAGE).joinpath("assets", *name.split("/"))
    source = _IMPORT.sub(_served, path.read_text(encoding="utf-8"))
    return add_asset_content(name.rpartition("/")[2], source.encode(), _SCRIPT, folder=FOLDER)


def _served(found: re.Match[str]) -> str:
    return f'from "{_module(found[1])}"'


def _editor() -> str | None:
    """Return the address of the editor's script; None where the build has not copied its library, see ``hatch_build.py``."""
    if files(PACKAGE).joinpath("assets", "prose_editor", "editor.js").is_file():
        return _module("draft.js")
    log.warning("the rich-text editor is not installed: drafts are edited as HTML; run 'make install'")
    return None


STYLE_SHEET = add_asset(PACKAGE, "desk.css")
EDITOR = _editor()
LIST = _module("list.js")
FORMS = _module("forms.js")
OUTCOMES = _module("outcomes.js")
