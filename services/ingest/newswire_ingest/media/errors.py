"""Why an image is not accepted, found or served. `newswire_ingest.problem_handlers` answers each."""


class MediaError(Exception):
    """The base of the errors of media."""


class InvalidImageError(MediaError):
    """The upload is no image that is accepted. ``fix`` says what to do."""

    def __init__(self, problem: str, fix: str) -> None:
        super().__init__(f"the image {problem}")
        self.problem = problem
        self.fix = fix


class UploadTooLargeError(MediaError):
    """The upload has more bytes than ``limit``."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"the image is larger than {limit:,} bytes")
        self.limit = limit


class MediaBusyError(MediaError):
    """Too many images are being uploaded."""

    def __init__(self) -> None:
        super().__init__("too many images are being uploaded; nothing was stored, send this one again in a moment")


class MediaSpaceError(MediaError):
    """The images of the account take as many bytes as they may."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"the images of the account would take more than {limit:,} bytes together; delete some first")


class MediaNotFoundError(MediaError):
    """The account has no such image."""


class MediaInUseError(MediaError):
    """Articles or drafts use the image."""

    def __init__(self, uses: int) -> None:
        what = "article or draft uses" if uses == 1 else "articles or drafts use"
        super().__init__(f"{uses} {what} this image; retract them, or delete the drafts, first")
