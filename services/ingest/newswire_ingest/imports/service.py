"""What users of the desk do with imports: upload a file, see what it would change, start it, cancel it, and read its results."""

from collections.abc import AsyncIterable, Callable
from datetime import datetime

from redis.asyncio import Redis
from ulid import ULID

from newswire.auth.accounts import find_publisher
from newswire.auth.credentials import Caller
from newswire.keys import Keyspace
from newswire.observability import audit
from newswire.observability.audit import SYSTEM, Act, Actor
from newswire_ingest.imports.errors import (
    EmptyImportFileError,
    ImportBusyError,
    ImportFileTooLargeError,
    ImportNotFoundError,
    ImportStateError,
    TooManyImportsError,
)
from newswire_ingest.imports.files import ImportFiles, Results
from newswire_ingest.imports.models import COUNTED, ENDED, WORKING, Import, ImportState, Row
from newswire_ingest.imports.repository import ImportRepository

MAX_IMPORTS = 50
"""Of an account, until some are removed."""
MAX_UPLOADS = 2
"""Files that a process receives at a time; each is in memory until it is stored."""
MAX_FILE_NAME_CHARS = 200
PROBLEM_CHUNKS_PER_PAGE = 10


class ImportService:
    """The imports of all accounts."""

    def __init__(
        self, redis: "Redis", keys: Keyspace, files: ImportFiles, max_bytes: int, clock: Callable[[], datetime]
    ) -> None:
        self.records = ImportRepository(redis, keys)
        self.files = files
        self.max_bytes = max_bytes
        self._redis = redis
        self._keys = keys
        self._clock = clock
        self._uploading = 0

    async def receive(self, stream: AsyncIterable[bytes]) -> bytes:
        """Read an upload into memory.

        Raises:
            ImportFileTooLargeError: it has too many bytes.
            EmptyImportFileError: it has none.
            ImportBusyError: too many files are being uploaded.
        """
        if self._uploading >= MAX_UPLOADS:
            raise ImportBusyError
        self._uploading += 1
        try:
            chunks, size = [], 0
            async for chunk in stream:
                size += len(chunk)
                if size > self.max_bytes:
                    raise ImportFileTooLargeError(self.max_bytes)
                chunks.append(chunk)
        finally:
            self._uploading -= 1
        if not size:
            raise EmptyImportFileError
        return b"".join(chunks)

    async def create(
        self, account: str, actor: Actor, user_name: str, file_name: str, content: bytes, *, silent: bool, expired: bool
    ) -> Import:
        """Store a file, whose articles are read and compared next.

        Raises:
            TooManyImportsError: the account has too many.
            newswire.object_storage.storage.StorageError: the folder or the bucket cannot be used.
        """
        new = Import(
            id=str(ULID()).lower(),
            account=account,
            file_name=_printable(file_name)[:MAX_FILE_NAME_CHARS],
            size=len(content),
            silent=silent,
            expired=expired,
            user=actor.user_id or "",
            user_name=user_name,
            created_at=self._clock(),
            state=ImportState.READING,
            counts=dict.fromkeys(COUNTED, 0),
        )
        await self.files.write_source(new.id, content)
        if not await self.records.add(new, MAX_IMPORTS):
            await self.files.delete(new.id)
            raise TooManyImportsError(MAX_IMPORTS)
        await self._record(actor, Act.IMPORT_UPLOADED, new, bytes=new.size)
        return new

    async def of_account(self, account: str) -> list[Import]:
        """Return the imports of an account, newest first."""
        return await self.records.of_account(account)

    async def find(self, account: str, import_id: str) -> Import:
        """Return an import of an account.

        Raises:
            ImportNotFoundError: it has none with this id.
        """
        found = await self.records.find(import_id)
        if found is None or found.account != account:
            raise ImportNotFoundError
        return found

    async def caller(self, found: Import) -> Caller | None:
        """Return the user of an import as a caller with the limits of its account; None if the account is disabled or gone."""
        return await find_publisher(self._redis, self._keys, found.account, user_id=found.user)

    async def start(self, account: str, import_id: str, actor: Actor, user_name: str) -> None:
        """Begin to publish. Starting it again changes nothing.

        Raises:
            ImportStateError: it is not ready.
        """
        found = await self.find(account, import_id)
        if found.started:
            return
        fields: dict[str, str | int] = {
            "state": ImportState.RUNNING.value,
            "user": actor.user_id or "",
            "user_name": user_name,
            "started": 1,
            "cursor": 0,
            "done": 0,
            "counts": "{}",
            "failed_chunks": "",
        }
        if not await self.records.move(import_id, [ImportState.READY], fields, self._clock()):
            raise ImportStateError(found.state)
        await self._record(actor, Act.IMPORT_STARTED, found, items=found.items)

    async def cancel(self, account: str, import_id: str, actor: Actor) -> None:
        """Stop an import; what it published stays. Cancelling it again changes nothing."""
        found = await self.find(account, import_id)
        states = [*WORKING, ImportState.READY]
        if await self.records.move(import_id, states, {"state": ImportState.CANCELLED.value, "reason": ""}, None):
            await self._record(actor, Act.IMPORT_CANCELLED, found, done=found.done if found.started else 0)

    async def remove(self, account: str, import_id: str, actor: Actor) -> None:
        """Remove an import that has ended, with its files; the articles stay.

        Raises:
            ImportStateError: it has not ended.
        """
        found = await self.find(account, import_id)
        if found.state not in ENDED:
            raise ImportStateError(found.state)
        await self.files.delete(found.id)
        if await self.records.remove(found):
            await self._record(actor, Act.IMPORT_REMOVED, found)

    async def record_end(self, found: Import) -> None:
        """Record in the audit log that a started import has ended by itself."""
        await self._record(SYSTEM, Act.IMPORT_ENDED, found, state=found.state.value, **found.counts)

    async def rows(self, found: Import, page: int, *, problems: bool) -> tuple[list[Row], bool]:
        """Return a page of what became of the items, or would become, and whether there are more; or only of those that failed."""
        which: Results = "published" if found.started else "compared"
        done = found.cursor if found.is_working or found.started else found.chunks
        if not problems:
            return await self.files.read_results(found.id, which, page), page + 1 < done
        first = page * PROBLEM_CHUNKS_PER_PAGE
        chunks = found.failed_chunks[first : first + PROBLEM_CHUNKS_PER_PAGE]
        rows = [row for number in chunks for row in await self.files.read_results(found.id, which, number)]
        return [row for row in rows if row["what"] == "failed"], len(found.failed_chunks) > first + len(chunks)

    async def _record(self, actor: Actor, act: Act, found: Import, **details: object) -> None:
        about = {"account": found.account, "file": found.file_name}
        await audit.record(self._redis, self._keys, actor, act, "import", found.id, **about, **details)


def _printable(name: str) -> str:
    return "".join(char for char in name.replace("\\", "/").rpartition("/")[2] if char.isprintable()) or "file"
