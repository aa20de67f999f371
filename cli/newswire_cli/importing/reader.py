"""All that a command line names, read as one flow of stories; what cannot be read is told, and the rest goes on."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import blake2b
from pathlib import Path

from newswire_cli.importing.fetching import fetched, is_address
from newswire_cli.importing.format_detection import reader, recognise
from newswire_cli.importing.format_names import FormatName
from newswire_cli.importing.input_files import UNREADABLE, Source, files, unreadable
from newswire_cli.importing.models import Fault, Found, Skipped, Story
from newswire_cli.importing.normalize import fit
from newswire_cli.importing.time_limit import each_within


@dataclass
class Reading:
    """What is read, and how far that has come."""

    paths: Sequence[str]
    form: FormatName | None
    now: datetime
    expired: bool = False
    """Whether what its source shows no more is read too."""
    done: int = field(default=0, init=False)
    """Bytes of the sources that are read through."""
    current: Source | None = field(default=None, init=False)
    _seen: set[bytes] = field(default_factory=set, init=False)

    @property
    def read(self) -> int:
        """Bytes read so far."""
        return self.done + (self.current.read if self.current else 0)

    def size(self) -> int:
        """Return the bytes there are to read; an address counts once it is fetched."""
        return sum(
            source.size
            for path in self.paths
            if not is_address(path) and Path(path).exists()
            for source in files(Path(path))
            if isinstance(source, Source)
        )

    def found(self) -> Iterator[Found]:
        """Go through everything; each story is valid, and its ``external_id`` stands once."""
        for path in self.paths:
            try:
                with ExitStack() as stack:
                    sources = [stack.enter_context(fetched(path))] if is_address(path) else files(Path(path))
                    for source in sources:
                        yield from [source] if isinstance(source, Skipped) else self._of(source)
            except UNREADABLE as error:
                yield Fault(path, None, unreadable(error).reason)

    def _of(self, source: Source) -> Iterator[Found]:
        self.current = source
        try:
            read = reader(self.form or recognise(source))
            for found in each_within(read(source)):
                fitted = fit(found, self.now, expired=self.expired) if isinstance(found, Story) else found
                yield self._once(fitted) if isinstance(fitted, Story) else fitted
        except UNREADABLE as error:
            problem = unreadable(error)
            yield Fault(source.name, problem.line, problem.reason)
        self.current = None
        self.done += source.size

    def _once(self, story: Story) -> Story | Fault:
        """Refuse a second article of one id: each import would change it there and back."""
        identity = story.draft["external_id"]
        mark = blake2b(f"{story.draft.get('source_version')} {identity}".encode(), digest_size=8).digest()
        if mark in self._seen:
            return Fault(
                story.file,
                story.line,
                f"the external_id {identity!r} stood before in this import, which keeps the first",
            )
        self._seen.add(mark)
        return story
