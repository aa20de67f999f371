"""The problem types of the API: what each means and what to do about it. Served at ``/problems``.

A problem type is identified by a URN, independent of the address of an installation; each installation serves its description
under ``/problems/`` and the last part of the URN.
"""

from dataclasses import dataclass
from typing import Final

PROBLEM_URN: Final = "urn:newswire:problem:"
PATH: Final = "/problems"


@dataclass(frozen=True, slots=True)
class ProblemType:
    """One problem type."""

    status: int
    meaning: str
    remedy: str


PROBLEM_TYPES: Final[dict[str, ProblemType]] = {
    "malformed": ProblemType(
        400,
        "The request cannot be parsed: it is not UTF-8, not JSON, nested too deeply, or has a duplicate header.",
        "Correct the request; `errors` names what could not be parsed.",
    ),
    "invalid-cursor": ProblemType(
        400, "The cursor was not issued here, or not for this list and caller.", "Start again with the first page."
    ),
    "unauthorised": ProblemType(
        401,
        "No valid key was sent.",
        "Send `Authorization: Bearer nw_…` with a key that is neither revoked nor expired.",
    ),
    "sign-in-required": ProblemType(
        401, "The page is for users, and no user is signed in in this browser.", "Sign in at `/sign-in`."
    ),
    "foreign-form": ProblemType(
        403, "Another site sent the form.", "Open the page of the form here, and send it from there."
    ),
    "form-expired": ProblemType(
        403, "The form was made for an earlier session of the browser.", "Load the page again, and send its form."
    ),
    "not-permitted": ProblemType(
        403, "The user has no role in the account that permits this.", "Ask an admin of the account for the role."
    ),
    "forbidden": ProblemType(403, "The key lacks the required scope.", "Use a key with the scope that `detail` names."),
    "not-found": ProblemType(
        404,
        "There is nothing at this address, or it belongs to another account.",
        "Check the path, its id and the key.",
    ),
    "method-not-allowed": ProblemType(
        405, "This address does not support the method.", "Use a method that `Allow` names."
    ),
    "not-acceptable": ProblemType(
        406, "`Accept` names no media type that is available.", "Accept one of those that `errors` names."
    ),
    "request-timeout": ProblemType(
        408, "The request did not arrive in time.", "Send it again, faster or in smaller parts."
    ),
    "account-disabled": ProblemType(
        409, "The account is disabled, so no key can be created for it.", "Enable the account first."
    ),
    "account-exists": ProblemType(
        409,
        "An account has this name, or one that differs only in case, accents or width.",
        "Choose another name.",
    ),
    "wrong-act": ProblemType(
        409,
        "The act does not apply to the article of the draft as it is now.",
        "Do one of those that `applies` names.",
    ),
    "draft-discarded": ProblemType(409, "The draft is discarded.", "Recover it first."),
    "draft-not-discarded": ProblemType(409, "Only a discarded draft can be erased.", "Discard it first."),
    "too-many-drafts": ProblemType(
        409,
        "The account has as many drafts, or as much text in them, as it may have.",
        "Discard drafts that are not needed, and erase them.",
    ),
    "email-taken": ProblemType(
        409, "Another user has this e-mail address.", "Change that user, or send another address."
    ),
    "last-admin": ProblemType(
        409, "The change would leave an account with users, but without an admin.", "Make another user admin first."
    ),
    "user-changed": ProblemType(
        409, "Another request changed the user at the same time.", "Read the user again, and repeat the change."
    ),
    "ended": ProblemType(
        409,
        "The subscription or delivery has ended already.",
        "`detail` says what; a delivery can be replayed.",
    ),
    "external-id-taken": ProblemType(
        409,
        "Another article of the account has this external id, and was created with other content.",
        "PUT that article, whose address is in `article`, or choose another id.",
    ),
    "not-changed": ProblemType(
        409, "The subscription does not allow this change in its current state.", "`detail` says why."
    ),
    "not-replayed": ProblemType(
        409, "The event is no longer available, or must not be sent again.", "`detail` says why."
    ),
    "not-rotated": ProblemType(
        409,
        "The key was replaced before, or is revoked or expired.",
        "Rotate the key that replaced it, or create a new one.",
    ),
    "import-state": ProblemType(
        409,
        "The import is not in a state in which this is possible.",
        "Open its page again: it shows what is possible now.",
    ),
    "too-many-imports": ProblemType(
        409,
        "The account has as many imports as it may have.",
        "Remove one that has ended; its articles stay.",
    ),
    "media-space-used-up": ProblemType(
        409,
        "The images of the account take as many bytes as they may.",
        "Delete images that nothing uses, or ask the operator for more space.",
    ),
    "media-in-use": ProblemType(
        409,
        "Articles or drafts use the image.",
        "Retract the articles, or delete the drafts, that use it.",
    ),
    "older-version": ProblemType(
        409,
        "`source_version` is lower than the stored one.",
        "Send the current content of your system, with its version.",
    ),
    "replay-running": ProblemType(
        409, "An earlier replay is still running.", "Wait until it has finished, and try again."
    ),
    "republished": ProblemType(
        409,
        "A retraction was repeated with its Idempotency-Key, but the article has been published again since.",
        "Send DELETE with a new key to retract the article again.",
    ),
    "retracted": ProblemType(
        409, "The article was retracted, so it cannot be changed.", "PUT the whole article to publish it again."
    ),
    "slug-taken": ProblemType(
        409,
        "A newsletter has this slug, or had it: it is in the addresses and headers of mails that were sent.",
        "Choose another slug.",
    ),
    "no-mail-server": ProblemType(
        409,
        "Mails of a newsletter could not be sent: there is no mail server, and no folder to write them to.",
        "Ask the operator to set NEWSWIRE_SMTP_URL.",
    ),
    "too-many-newsletters": ProblemType(
        409, "The account has as many newsletters as it may have.", "Delete one that is not needed."
    ),
    "too-many-secrets": ProblemType(
        409,
        "The secret was replaced too often recently.",
        "Wait until previous secrets have expired, or send an overlap of 0.",
    ),
    "too-many-subscriptions": ProblemType(
        409, "The account has the maximum number of subscriptions.", "Delete one that is not needed."
    ),
    "subscriptions-too-large": ProblemType(
        409,
        "The filters, labels, addresses and headers of all subscriptions of the account are too large.",
        "Shorten some, delete a subscription that is not needed, or ask the operator for more.",
    ),
    "too-many-urls-of-host": ProblemType(
        409,
        "The subscriptions of the account deliver to the maximum number of different addresses of this host.",
        "Use one of these addresses, delete a subscription that is not needed, or ask the operator for more.",
    ),
    "cancelled": ProblemType(
        410,
        "The Idempotency-Key belongs to a request whose scheduled article was cancelled.",
        "Send a new key to create the article again.",
    ),
    "retracted-by-operator": ProblemType(
        409,
        "An operator retracted this article.",
        "Ask the operator to release it; `detail` says why it was retracted.",
    ),
    "cursor-expired": ProblemType(410, "The cursor has expired.", "Start again with the first page."),
    "ended-by-operator": ProblemType(
        410, "An operator ended this subscription.", "`detail` says why; ask the operator, or subscribe again."
    ),
    "gone": ProblemType(410, "The resource has been withdrawn.", "Remove your copies of it."),
    "draft-changed": ProblemType(
        412,
        "The draft has another revision than the one that `If-Match` names. The text that was sent is kept as `kept_revision`.",
        "Compare it with `draft`, and save the text that is meant with the new ETag.",
    ),
    "article-changed": ProblemType(
        412,
        "The article was changed by other means since the text of the draft started from it.",
        "Compare `draft` and `article`; send `article_revision` if the draft is to replace the article.",
    ),
    "precondition-failed": ProblemType(
        412,
        "The resource is not in the state that `If-Match` or `If-None-Match` requires.",
        "Read it, decide what to do, and send its new ETag.",
    ),
    "too-large": ProblemType(
        413, "The body is larger than this address accepts.", "Send less; `errors` names the limit."
    ),
    "address-too-long": ProblemType(414, "The address is too long.", "Send fewer or shorter parameters."),
    "unsupported-media-type": ProblemType(
        415,
        "The body is of a type, charset or coding that is not supported here.",
        "Send one of the types that `Accept` names.",
    ),
    "invalid": ProblemType(
        422,
        "A member, parameter or header is invalid. Nothing was written.",
        "`errors` names each field, what is wrong with it, and what to send.",
    ),
    "if-match-needed": ProblemType(
        428, "A change must name the state that it is based on.", "Send `If-Match` with the ETag."
    ),
    "rate-limited": ProblemType(429, "Too many requests in too short a time.", "Wait for the time in `Retry-After`."),
    "quota-exceeded": ProblemType(
        429,
        "The account has published the maximum number of new articles per day.",
        "Wait until the time that `resets_at` names.",
    ),
    "hub-full": ProblemType(
        429,
        "The hub has as many subscriptions, topics or waiting requests as it may, in total or for the host of this callback.",
        "Wait as `Retry-After` says, or unsubscribe what is not needed.",
    ),
    "too-many-connections": ProblemType(429, "Too many connections or streams are open.", "Close some, or wait."),
    "too-many-streams": ProblemType(
        429, "The maximum number of live streams is open.", "Close some, or wait for the time in `Retry-After`."
    ),
    "too-many-requests": ProblemType(
        429,
        "This reader has the maximum number of concurrent requests.",
        "Wait for their responses, then send the next one.",
    ),
    "too-many-failures": ProblemType(
        429,
        "Too many keys from this address were rejected.",
        "Wait for the time in `Retry-After`, then send a valid key.",
    ),
    "headers-too-large": ProblemType(431, "The headers are too large.", "Send fewer or shorter headers."),
    "unexpected": ProblemType(500, "An error occurred on the server.", "Send the request again."),
    "not-ready": ProblemType(
        503, "The process has not completed its start, or it is stopping.", "Ask another replica, or try again later."
    ),
    "degraded": ProblemType(
        503, "A dependency or a background loop fails.", "`checks` and `loops` name it; other requests may still work."
    ),
    "overloaded": ProblemType(503, "The service is overloaded.", "Send the request again after `Retry-After`."),
    "too-many-pipelined": ProblemType(
        503, "Too many requests are waiting on one connection.", "Wait for responses in between."
    ),
    "unavailable": ProblemType(
        503,
        "A dependency is temporarily unavailable.",
        "Send the request again after `Retry-After`, with the same Idempotency-Key.",
    ),
    "http-error": ProblemType(400, "The HTTP layer rejected the request.", "`status` and `detail` say why."),
}


def problem_type(name: str) -> str:
    """Return the ``type`` of a named kind of problem."""
    return PROBLEM_URN + name
