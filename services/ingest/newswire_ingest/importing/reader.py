"""Reads files, folders and addresses as one stream of articles. Errors become items; reading continues."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import blake2b
from pathlib import Path

from newswire_ingest.importing.format_detection import detect_format, format_reader
from newswire_ingest.importing.format_names import FormatName
from newswire_ingest.importing.input_files import READ_ERRORS, InputFile, as_unreadable, find_input_files, is_url
from newswire_ingest.importing.json_encoding import json_in_utf8
from newswire_ingest.importing.models import FailedItem, SkippedItem, SourceArticle, SourceItem
from newswire_ingest.importing.normalize import normalize
from newswire_ingest.importing.time_limit import limit_processor_time

_OF_JSON = frozenset((FormatName.NDJSON, FormatName.NINJS, FormatName.FEED))


@dataclass
class ImportReader:
    """Reads the given paths, and tracks its progress in bytes."""

    paths: Sequence[str]
    format: FormatName | None
    now: datetime
    expired: bool = False
    """Whether articles that have expired in their source are read too."""
    fetch: Callable[[str], AbstractContextManager[InputFile]] | None = None
    """Fetches addresses; without it, paths are files and folders alone."""
    done: int = field(default=0, init=False)
    """Bytes of the files that are read completely."""
    current: InputFile | None = field(default=None, init=False)
    _seen: set[bytes] = field(default_factory=set, init=False)

    @property
    def read(self) -> int:
        """Bytes read so far."""
        return self.done + (self.current.read if self.current else 0)

    def size(self) -> int:
        """Return the total of bytes to read. The size of an address is unknown until it is fetched."""
        return sum(
            source.size
            for path in self.paths
            if not self._is_address(path) and Path(path).exists()
            for source in find_input_files(Path(path))
            if isinstance(source, InputFile)
        )

    def found(self) -> Iterator[SourceItem]:
        """Yield every item. Articles are valid, and each ``external_id`` occurs once."""
        for path in self.paths:
            try:
                with ExitStack() as stack:
                    for source in self._sources(path, stack):
                        yield from [source] if isinstance(source, SkippedItem) else self._read_file(source)
            except READ_ERRORS as error:
                yield FailedItem(path, None, as_unreadable(error).reason)

    def _is_address(self, path: str) -> bool:
        return self.fetch is not None and is_url(path)

    def _sources(self, path: str, stack: ExitStack) -> Iterator[InputFile | SkippedItem]:
        if self.fetch is not None and is_url(path):
            yield stack.enter_context(self.fetch(path))
        else:
            yield from find_input_files(Path(path))

    def _read_file(self, source: InputFile) -> Iterator[SourceItem]:
        self.current = source
        try:
            name = self.format or detect_format(source)
            read = format_reader(name)
            for found in limit_processor_time(read(json_in_utf8(source) if name in _OF_JSON else source)):
                normalized = (
                    normalize(found, self.now, expired=self.expired) if isinstance(found, SourceArticle) else found
                )
                yield self._reject_duplicate(normalized) if isinstance(normalized, SourceArticle) else normalized
        except READ_ERRORS as error:
            problem = as_unreadable(error)
            yield FailedItem(source.name, problem.line, problem.reason)
        self.current = None
        self.done += source.size

    def _reject_duplicate(self, article: SourceArticle) -> SourceArticle | FailedItem:
        """Reject a second article with the same id: otherwise each import would change the article twice."""
        identity = article.draft["external_id"]
        fingerprint = blake2b(f"{article.draft.get('source_version')} {identity}".encode(), digest_size=8).digest()
        if fingerprint in self._seen:
            return FailedItem(
                article.file,
                article.line,
                f"the external_id {identity!r} occurred before in this import; the first article is kept",
            )
        self._seen.add(fingerprint)
        return article
