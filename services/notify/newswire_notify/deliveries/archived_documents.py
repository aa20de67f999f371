"""The documents of deliveries that are in the archive: an old article that is sent again."""

import logging

from newswire.storage.document_archive import (
    POINTER_MARK,
    DocumentArchive,
    DocumentMissingError,
    DocumentUnavailableError,
    Numbered,
)
from newswire_notify.deliveries.models import Documents

log = logging.getLogger(__name__)


async def read_archived(archive: DocumentArchive, documents: Documents) -> tuple[Documents, set[Numbered]]:
    """Return documents with those that are in the archive, and the versions that it does not return now."""
    if not any(stored.startswith(POINTER_MARK) for stored in documents.values()):
        return documents, set()
    found: dict[Numbered, bytes] = {}
    unavailable: set[Numbered] = set()
    read = await archive.resolve_each(list(documents), list(documents.values()))
    for version, document in zip(documents, read, strict=True):
        if isinstance(document, DocumentMissingError):
            log.error("the text of a delivery is lost; the delivery is cancelled", extra={"reason": str(document)})
        elif isinstance(document, DocumentUnavailableError):
            unavailable.add(version)
        else:
            found[version] = document or b""
    return found, unavailable
