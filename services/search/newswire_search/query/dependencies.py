"""The dependencies of the readers' routes: the caller's entitlement, and the conversion of errors to problems."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends

from newswire.auth.authentication import reader
from newswire.auth.credentials import Caller
from newswire.filters import Filter
from newswire.http.pagination import cursor_expired
from newswire.http.problems import gone, not_found, unavailable
from newswire.messaging.messages import DependencyUnavailableError
from newswire_search.index.models import SnapshotExpiredError
from newswire_search.query.service import ArticleNotFoundError, ArticleRetractedError

log = logging.getLogger(__name__)


async def entitlement(caller: Annotated[Caller | None, Depends(reader)]) -> Filter | None:
    """Return the filter that restricts everything the caller may read; every route that shows articles depends on it."""
    return caller.entitlement if caller is not None else None


Entitlement = Annotated[Filter | None, Depends(entitlement)]


@asynccontextmanager
async def errors_as_problems() -> AsyncIterator[None]:
    """Convert the errors of the index and of `newswire_search.query.service` to problems: 404, 410 or 503."""
    try:
        yield
    except DependencyUnavailableError as error:
        # The check of `/status` asks for less, and may succeed meanwhile: without this line the reason would not be logged.
        log.warning("a request could not be answered from the search index", extra={"reason": str(error)})
        raise unavailable("the search index is unavailable; repeat the request later") from None
    except SnapshotExpiredError:
        raise cursor_expired() from None
    except ArticleNotFoundError:
        raise not_found("article") from None
    except ArticleRetractedError:
        raise gone("article") from None
