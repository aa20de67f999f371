"""Takes what mails to users share from the settings."""

import ipaddress

from newswire_notify.newsletters.assembly import signer_of
from newswire_notify.newsletters.mail_composer import host_of
from newswire_notify.settings import NotifySettings
from newswire_notify.user_mails.composition import UserMailFrame


def user_mail_frame(settings: NotifySettings) -> UserMailFrame:
    """Return what all mails to users share."""
    return UserMailFrame(
        site=settings.site,
        site_name=settings.site_name,
        language=settings.site_language,
        colour=settings.site_accent,
        sender=settings.mail_sender or f"newswire@{_sender_domain(settings.site)}",
        signer=signer_of(settings),
    )


def _sender_domain(site: str) -> str:
    """Return the host of the site; an address of a machine is no domain."""
    host = host_of(site)
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host
    return "localhost"
