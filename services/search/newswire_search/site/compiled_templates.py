"""The compiled templates of the site, kept in memory: each source is compiled once in a process, and before the first request."""

from jinja2 import BytecodeCache, Environment
from jinja2.bccache import Bucket


class CompiledTemplates(BytecodeCache):
    """Keeps the code of templates by name and content. Compiling those of a page takes up to 0.1 s."""

    def __init__(self) -> None:
        self._code: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        """Use the code of the same source, if there is any."""
        if code := self._code.get(bucket.key + bucket.checksum):
            bucket.bytecode_from_string(code)

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Keep the code of a source."""
        self._code[bucket.key + bucket.checksum] = bucket.bytecode_to_string()


COMPILED = CompiledTemplates()


def compile_templates(environment: Environment, names: list[str]) -> None:
    """Compile templates, so that no request has to wait for it.

    Raises:
        jinja2.TemplateError: one of them has an error.
    """
    for name in names:
        environment.get_template(name)
