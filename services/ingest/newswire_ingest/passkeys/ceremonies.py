"""What is asked of an authenticator, and the check of what it answered. Nothing here is stored.

The statement of an authenticator about its maker (attestation) is not asked for, and not read if it comes: nothing depends on
it, and its formats are a large surface for attacks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from webauthn import (
    base64url_to_bytes,
    generate_authentication_options,
    generate_registration_options,
    options_to_json,
    verify_authentication_response,
    verify_registration_response,
)
from webauthn.helpers import (
    bytes_to_base64url,
    encode_cbor,
    parse_authentication_credential_json,
    parse_cbor,
    parse_client_data_json,
    parse_registration_credential_json,
)
from webauthn.helpers.cose import COSEAlgorithmIdentifier
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    AuthenticatorTransport,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from newswire.users.models import User
from newswire_ingest.passkeys.challenges import LIFETIME
from newswire_ingest.passkeys.models import (
    MAX_CREDENTIAL_ID_BYTES,
    MAX_PUBLIC_KEY_BYTES,
    Passkey,
    PasskeyRefusedError,
    RelyingParty,
)

MAX_CREDENTIAL_CHARS = 12_000
"""Of the JSON that a browser sends; without attestation it has some 1,000."""
_ALGORITHMS = [
    COSEAlgorithmIdentifier.ECDSA_SHA_256,
    COSEAlgorithmIdentifier.EDDSA,
    COSEAlgorithmIdentifier.RSASSA_PKCS1_v1_5_SHA_256,
]
_TIMEOUT_MS = int(LIFETIME.total_seconds() * 1000)


@dataclass(frozen=True, slots=True)
class NewCredential:
    """What a verified registration says about its credential."""

    id: str
    public_key: bytes
    sign_count: int
    synced: bool
    transports: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Assertion:
    """What a browser sent to sign in, before anything of it is verified."""

    credential: dict[str, Any]
    passkey_id: str
    user_id: str
    challenge: bytes


def registration_options(site: RelyingParty, user: User, known: Sequence[Passkey], challenge: bytes) -> str:
    """Return the options of ``navigator.credentials.create``, as JSON. ``known``: the passkeys that the user has."""
    return options_to_json(
        generate_registration_options(
            rp_id=site.id,
            rp_name=site.name,
            user_id=user.id.encode(),
            user_name=user.email,
            user_display_name=user.name,
            challenge=challenge,
            timeout=_TIMEOUT_MS,
            authenticator_selection=AuthenticatorSelectionCriteria(
                resident_key=ResidentKeyRequirement.REQUIRED, user_verification=UserVerificationRequirement.REQUIRED
            ),
            exclude_credentials=_descriptors(known),
            supported_pub_key_algs=_ALGORITHMS,
        )
    )


def assertion_options(site: RelyingParty, challenge: bytes, allowed: Sequence[Passkey] = ()) -> str:
    """Return the options of ``navigator.credentials.get``, as JSON. ``allowed``: none for any passkey of this site."""
    return options_to_json(
        generate_authentication_options(
            rp_id=site.id,
            challenge=challenge,
            timeout=_TIMEOUT_MS,
            allow_credentials=_descriptors(allowed),
            user_verification=UserVerificationRequirement.REQUIRED,
        )
    )


def read_registration(sent: str) -> tuple[dict[str, Any], bytes]:
    """Return what a browser sent for a new passkey, without the attestation, and the challenge that it answers.

    Raises:
        PasskeyRefusedError: it is not the answer of an authenticator.
    """
    credential = _parsed(sent)
    try:
        parsed = parse_registration_credential_json(credential)
        challenge = parse_client_data_json(parsed.response.client_data_json).challenge
        data = parse_cbor(parsed.response.attestation_object)["authData"]
        plain = bytes_to_base64url(encode_cbor({"fmt": "none", "attStmt": {}, "authData": data}))
    except Exception as error:  # noqa: BLE001 (the library raises whatever its parsers do)
        raise PasskeyRefusedError(f"the answer cannot be read: {error}") from None
    return {**credential, "response": {**credential["response"], "attestationObject": plain}}, challenge


def verify_registration(site: RelyingParty, credential: dict[str, Any], challenge: bytes) -> NewCredential:
    """Return the credential of an answer of `read_registration` whose challenge was checked.

    Raises:
        PasskeyRefusedError: it was made for another site, without verifying the user, or is out of bounds.
    """
    try:
        found = verify_registration_response(
            credential=credential,
            expected_challenge=challenge,
            expected_rp_id=site.id,
            expected_origin=site.origin,
            require_user_verification=True,
            supported_pub_key_algs=_ALGORITHMS,
        )
    except Exception as error:  # noqa: BLE001 (as above)
        raise PasskeyRefusedError(str(error)) from None
    if len(found.credential_id) > MAX_CREDENTIAL_ID_BYTES or len(found.credential_public_key) > MAX_PUBLIC_KEY_BYTES:
        raise PasskeyRefusedError("the id or the key of the credential is too long")
    if bytes_to_base64url(found.credential_id) != credential["id"]:
        raise PasskeyRefusedError("the id is not that of the credential")
    return NewCredential(
        bytes_to_base64url(found.credential_id),
        found.credential_public_key,
        found.sign_count,
        found.credential_backed_up,
        _transports(credential["response"].get("transports")),
    )


def read_assertion(sent: str) -> Assertion:
    """Return what a browser sent to sign in.

    Raises:
        PasskeyRefusedError: it is not the answer of an authenticator with a discoverable credential.
    """
    credential = _parsed(sent)
    try:
        parsed = parse_authentication_credential_json(credential)
        challenge = parse_client_data_json(parsed.response.client_data_json).challenge
        user_id = (parsed.response.user_handle or b"").decode("ascii")
    except Exception as error:  # noqa: BLE001 (as above)
        raise PasskeyRefusedError(f"the answer cannot be read: {error}") from None
    return Assertion(credential, parsed.id, user_id, challenge)


def verify_assertion(site: RelyingParty, assertion: Assertion, passkey: Passkey) -> int:
    """Return the authenticator's counter in an answer whose challenge was checked; comparing it is up to the caller.

    Raises:
        PasskeyRefusedError: the signature is wrong, or it was made for another site or without verifying the user.
    """
    try:
        found = verify_authentication_response(
            credential=assertion.credential,
            expected_challenge=assertion.challenge,
            expected_rp_id=site.id,
            expected_origin=site.origin,
            credential_public_key=passkey.public_key,
            credential_current_sign_count=0,
            require_user_verification=True,
        )
    except Exception as error:  # noqa: BLE001 (as above)
        raise PasskeyRefusedError(str(error)) from None
    return found.new_sign_count


def _parsed(sent: str) -> dict[str, Any]:
    if len(sent) > MAX_CREDENTIAL_CHARS:
        raise PasskeyRefusedError("the answer is too long")
    try:
        credential = orjson.loads(sent)
    except orjson.JSONDecodeError:
        raise PasskeyRefusedError("the answer is not JSON") from None
    if not isinstance(credential, dict):
        raise PasskeyRefusedError("the answer is not a JSON object")
    return credential


def _descriptors(passkeys: Sequence[Passkey]) -> list[PublicKeyCredentialDescriptor]:
    return [
        PublicKeyCredentialDescriptor(
            base64url_to_bytes(each.id), transports=[AuthenticatorTransport(name) for name in each.transports] or None
        )
        for each in passkeys
    ]


def _transports(sent: object) -> tuple[str, ...]:
    """Return the known transports that a browser named, in their order and once each."""
    known = {each.value for each in AuthenticatorTransport}
    named = sent if isinstance(sent, list) else []
    return tuple(dict.fromkeys(each for each in named if isinstance(each, str) and each in known))
