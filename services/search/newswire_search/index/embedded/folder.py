"""The folder of the embedded index: one sub-folder for each index, and a file that names the one in use."""

from pathlib import Path

from newswire_search.index.admin import next_index_name
from newswire_search.index.mapping import MAPPING_NUMBER


def name_in_use(folder: Path) -> str | None:
    """Return the name of the index in use, or None if there is none with this release's mapping."""
    try:
        name = _pointer(folder).read_text().strip()
    except FileNotFoundError:
        return None
    return name if (folder / name).is_dir() else None


def index_names(folder: Path) -> list[str]:
    """Return the names of all indexes in a folder, of any mapping number."""
    return sorted(path.name for path in folder.glob("articles-*") if path.is_dir())


def new_index_name(folder: Path) -> str:
    """Return a name for a new index in a folder."""
    return next_index_name("articles", index_names(folder), MAPPING_NUMBER)


def create_index(folder: Path) -> str:
    """Create an empty index, put it into use, and return its name."""
    name = new_index_name(folder)
    (folder / name).mkdir()
    put_into_use(folder, name)
    return name


def put_into_use(folder: Path, name: str) -> None:
    """Record on disk, in one step, which index is in use."""
    unfinished = folder / f"in-use-{MAPPING_NUMBER}.unfinished"
    unfinished.write_text(name + "\n")
    unfinished.replace(_pointer(folder))


def _pointer(folder: Path) -> Path:
    return folder / f"in-use-{MAPPING_NUMBER}"
