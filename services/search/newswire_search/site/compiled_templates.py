"""The compiled templates of the site: each source is compiled once in a process, and before the first request.

A process with a data folder also keeps them there, so that its next start compiles nothing.
"""

import hashlib
import logging
import os
import tempfile
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import jinja2
from jinja2 import BytecodeCache, Environment
from jinja2.bccache import Bucket

log = logging.getLogger(__name__)

FOLDER = "templates"
_WRITABLE_BY_OTHERS = 0o022


class CompiledTemplates(BytecodeCache):
    """Keeps the code of templates by name and content. Compiling those of a page takes up to 0.1 s."""

    def __init__(self, folder: Path | None = None, code: dict[str, bytes] | None = None) -> None:
        """``folder``: where the code is kept for the next process. ``code``: that of the process so far."""
        self._folder = folder
        self._code = {} if code is None else code

    def load_bytecode(self, bucket: Bucket) -> None:
        """Use the code of the same source, if there is any."""
        if code := self._code.get(bucket.key + bucket.checksum):
            bucket.bytecode_from_string(code)
        elif code := self._read(bucket.key):
            bucket.load_bytecode(BytesIO(code))  # leaves the bucket empty if it is of another source or Python
            if bucket.code is not None:
                self._code[bucket.key + bucket.checksum] = code

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Keep the code of a source."""
        code = self._code[bucket.key + bucket.checksum] = bucket.bytecode_to_string()
        try:
            self._write(bucket.key, code)
        except OSError as error:
            log.info("compiled templates could not be kept for the next start", extra={"reason": str(error)})

    def _read(self, key: str) -> bytes | None:
        """Return the code of a file; code that others can write is not run."""
        if self._folder is None:
            return None
        with suppress(OSError):
            for path in (self._folder, self._folder / key):
                status = path.stat()
                if status.st_uid != os.geteuid() or status.st_mode & _WRITABLE_BY_OTHERS:
                    return None
            header, _, code = (self._folder / key).read_bytes().partition(b"\n")
            if header == _header(code):
                return code
        return None

    def _write(self, key: str, code: bytes) -> None:
        if self._folder is None:
            return
        self._folder.mkdir(mode=0o700, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=self._folder, prefix="new-", delete=False) as file:
            new = Path(file.name)
            try:
                file.write(_header(code) + b"\n" + code)
                file.flush()
                new.replace(self._folder / key)
            except OSError:
                new.unlink(missing_ok=True)
                raise


def _header(code: bytes) -> bytes:
    """Return the first line of a file of code: only the version of the library that has made it may use it, and only all of it."""
    return f"{jinja2.__version__} {hashlib.sha256(code).hexdigest()}".encode()


_CODE: dict[str, bytes] = {}


def compiled_templates(folder: Path | None = None) -> CompiledTemplates:
    """Return the compiled templates of this process, which are also kept in a folder."""
    return CompiledTemplates(folder, _CODE)


def compile_templates(environment: Environment, names: list[str]) -> None:
    """Compile templates, so that no request has to wait for it.

    Raises:
        jinja2.TemplateError: one of them has an error.
    """
    for name in names:
        environment.get_template(name)
