"""Why an import is not accepted or found. `newswire_ingest.problem_handlers` answers each."""


class ImportNotFoundError(Exception):
    """The account has no such import."""


class ImportStateError(Exception):
    """The act does not apply to the import as it is."""

    def __init__(self, state: str) -> None:
        super().__init__(f"the import is {state}; open its page again")


class TooManyImportsError(Exception):
    """The account has as many imports as it may have."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"the account has {limit} imports; remove one that has ended")


class ImportFileTooLargeError(Exception):
    """The file has more bytes than ``limit``."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"the file is larger than {limit:,} bytes")
        self.limit = limit


class EmptyImportFileError(Exception):
    """No file was chosen, or it is empty."""


class ImportBusyError(Exception):
    """Too many files are being uploaded."""

    def __init__(self) -> None:
        super().__init__("too many files are being uploaded; nothing was stored, send this one again in a moment")
