"""The wire models of links to the portal."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from newswire.validation.fields import WHOLE
from newswire_notify.portal.links import DEFAULT_LIFETIME, MAX_LIFETIME


class PortalLinkRequest(BaseModel):
    """How long a link to the portal can be opened, in seconds."""

    model_config = ConfigDict(extra="forbid")

    expires_in: Annotated[int, Field(ge=60, le=int(MAX_LIFETIME.total_seconds())), WHOLE] = int(
        DEFAULT_LIFETIME.total_seconds()
    )


class PortalLinkView(BaseModel):
    """A one-time link to the portal. It is returned only once."""

    url: str
    account: str
    expires_at: datetime
