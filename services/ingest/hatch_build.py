"""Puts the rich-text editor of the desk into the distribution: two files of the package django-prose-editor."""

from importlib.metadata import distribution
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PACKAGE = "django-prose-editor"
FOLDER = Path("newswire_ingest/desk/assets/prose_editor")
FILES = {"editor.js": "editor.js", "LICENSE": "LICENSE"}
"""The end of a path in the package → the name of the copy."""


class EditorFiles(BuildHookInterface[Any]):
    """Copies the files before the distribution is built. None of the package's Python code is used, nor what it requires."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Copy the files, and add them to the distribution."""
        folder = Path(self.root) / FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        installed = distribution(PACKAGE)
        for suffix, name in FILES.items():
            found = [path for path in installed.files or () if path.name == suffix]
            if len(found) != 1:
                raise FileNotFoundError(
                    f"{PACKAGE} {installed.version} has {len(found)} files {suffix}; 1 was expected"
                )
            source = Path(str(installed.locate_file(found[0]))).read_text(encoding="utf-8")
            # The map is not served, so that browsers need not ask for it.
            (folder / name).write_text(source.partition("//# sourceMappingURL=")[0], encoding="utf-8")
        build_data["artifacts"].append(f"{FOLDER.as_posix()}/*")
