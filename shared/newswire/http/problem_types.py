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
    """One kind of problem."""

    status: int
    meaning: str
    remedy: str


PROBLEM_TYPES: Final[dict[str, ProblemType]] = {
    "malformed": ProblemType(
        400,
        "The request cannot be read: it is not UTF-8, not JSON, nested too deeply, or sends a header twice that stands once.",
        "Correct the request; `errors` names what could not be read.",
    ),
    "invalid-cursor": ProblemType(
        400, "The cursor was not given out here, or not for this list and caller.", "Begin again with the first page."
    ),
    "unauthorised": ProblemType(
        401,
        "No valid key was sent.",
        "Send `Authorization: Bearer nw_…` with a key that is neither revoked nor expired.",
    ),
    "forbidden": ProblemType(
        403, "The key lacks the scope that this needs.", "Use a key with the scope that `detail` names."
    ),
    "not-found": ProblemType(
        404,
        "There is nothing at this address, or it belongs to another account.",
        "Check the path, its id and the key.",
    ),
    "method-not-allowed": ProblemType(
        405, "This address does not answer to this method.", "Use a method that `Allow` names."
    ),
    "not-acceptable": ProblemType(
        406, "`Accept` names no form that is offered.", "Accept one of those that `errors` names."
    ),
    "request-timeout": ProblemType(
        408, "The request did not arrive in time.", "Send it again, faster or in smaller parts."
    ),
    "account-disabled": ProblemType(409, "The account is disabled: it gets no new keys.", "Enable the account first."),
    "account-exists": ProblemType(
        409,
        "There is an account of this name, or of one that differs only in case, accents or width.",
        "Choose another name.",
    ),
    "ended": ProblemType(
        409, "What is asked for has ended already.", "`detail` says what; a delivery can be replayed."
    ),
    "external-id-taken": ProblemType(
        409,
        "Another article of the account has this external id, and was created with other content.",
        "PUT that article, whose address is in `article`, or choose another id.",
    ),
    "not-changed": ProblemType(
        409, "The subscription cannot be changed so in its present state.", "`detail` says why."
    ),
    "not-replayed": ProblemType(
        409, "What is to be sent again is kept no more, or may not be sent.", "`detail` says why."
    ),
    "not-rotated": ProblemType(
        409, "The key was replaced before, or is worthless.", "Rotate the key that replaced it, or make a new one."
    ),
    "older-version": ProblemType(
        409,
        "`source_version` is lower than the one that is stored.",
        "Send what your system holds now, with its version.",
    ),
    "replay-running": ProblemType(409, "An earlier replay is not done yet.", "Wait until it is, and ask again."),
    "republished": ProblemType(
        409,
        "A retraction was repeated with its Idempotency-Key, but the article was published again since.",
        "Send DELETE with a fresh key to retract the article once more.",
    ),
    "retracted": ProblemType(
        409, "The article was retracted: nothing is left to change.", "PUT it whole to publish it again."
    ),
    "too-many-secrets": ProblemType(
        409,
        "The secret was replaced too often of late.",
        "Wait until former secrets have ended, or send an overlap of 0.",
    ),
    "too-many-subscriptions": ProblemType(
        409, "The account has as many subscriptions as it may have.", "Delete one that is not needed."
    ),
    "subscriptions-too-large": ProblemType(
        409,
        "The filters, labels, addresses and headers of all subscriptions of the account would take more bytes than they may.",
        "Shorten some, delete a subscription that is not needed, or ask the operator for more.",
    ),
    "too-many-urls-of-host": ProblemType(
        409,
        "The subscriptions of the account deliver to as many different addresses of this host as they may.",
        "Use one of these addresses, delete a subscription that is not needed, or ask the operator for more.",
    ),
    "cancelled": ProblemType(
        410,
        "The Idempotency-Key belongs to a request whose scheduled article was cancelled.",
        "Send a fresh key to create the article again.",
    ),
    "retracted-by-operator": ProblemType(
        409,
        "An operator retracted this article, and it stays down.",
        "Ask the operator to release it; `detail` says why it was retracted.",
    ),
    "cursor-expired": ProblemType(410, "The cursor is too old.", "Begin again with the first page."),
    "ended-by-operator": ProblemType(
        410, "An operator ended this subscription.", "`detail` says why; ask the operator, or subscribe again."
    ),
    "gone": ProblemType(410, "It was there, and has been withdrawn.", "Remove it from what you keep."),
    "precondition-failed": ProblemType(
        412,
        "The thing is not in the state that `If-Match` or `If-None-Match` names.",
        "Read it, decide, and send its new ETag.",
    ),
    "too-large": ProblemType(
        413, "The body is larger than this address reads.", "Send less; `errors` names the limit."
    ),
    "address-too-long": ProblemType(414, "The address is longer than is read.", "Send fewer or shorter parameters."),
    "unsupported-media-type": ProblemType(
        415,
        "The body is of a type, charset or coding that is not read here.",
        "Send one of the types that `Accept` names.",
    ),
    "invalid": ProblemType(
        422,
        "A member, parameter or header is not what it must be. Nothing was written.",
        "`errors` names each field, what is wrong with it, and what to send.",
    ),
    "if-match-needed": ProblemType(
        428, "A change must say which state it was made for.", "Send `If-Match` with the ETag."
    ),
    "rate-limited": ProblemType(429, "Too many requests in too short a time.", "Wait as long as `Retry-After` says."),
    "quota-exceeded": ProblemType(
        429,
        "The account has published as many new articles as it may in a day.",
        "Wait until the time that `resets_at` names.",
    ),
    "too-many-connections": ProblemType(429, "Too many connections or streams are open.", "Close some, or wait."),
    "too-many-streams": ProblemType(
        429, "As many live streams are open as may be.", "Close some, or wait as `Retry-After` says."
    ),
    "too-many-requests": ProblemType(
        429, "As many requests of this reader are under way as may be.", "Wait for their answers, then send the next."
    ),
    "too-many-failures": ProblemType(
        429, "Keys from this address were refused too often.", "Wait as `Retry-After` says, then send a valid key."
    ),
    "headers-too-large": ProblemType(431, "The headers are larger than is read.", "Send fewer or shorter headers."),
    "unexpected": ProblemType(500, "Something went wrong on the server's side.", "Send the request again."),
    "not-ready": ProblemType(503, "A dependency of the service is unavailable.", "`checks` names it; ask again later."),
    "overloaded": ProblemType(
        503, "The service has more to do than it can.", "Send the request again after `Retry-After`."
    ),
    "too-many-pipelined": ProblemType(503, "Too many requests wait on one connection.", "Wait for answers in between."),
    "unavailable": ProblemType(
        503,
        "A dependency is away for the moment.",
        "Send the request again after `Retry-After`, with the same Idempotency-Key.",
    ),
    "http-error": ProblemType(400, "The HTTP layer refused the request.", "`status` and `detail` say why."),
}


def problem_type(name: str) -> str:
    """Return the ``type`` of a named kind of problem."""
    return PROBLEM_URN + name
