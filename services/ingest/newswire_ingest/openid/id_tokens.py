"""Verifies ID tokens (OpenID Connect Core, section 3.1.3.7): signature, issuer, audience, times and nonce."""

import hmac
from typing import Any

import orjson
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from joserfc.jws import JWSRegistry
from joserfc.util import to_bytes, urlsafe_b64decode

from newswire_ingest.openid.discovery import Discovery
from newswire_ingest.openid.errors import IdentityRefusedError

ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
"""Whatever the provider says that it supports: signatures by a private key alone."""
LEEWAY_SECONDS = 60
"""How far the clocks of provider and Newswire may differ."""
MAX_TOKEN_CHARS = 64 * 1024
MAX_SUBJECT_CHARS = 255


async def verify(
    token: object, client_id: str, issuer: str, discovery: Discovery, *, nonce: str, access_token: object = None
) -> dict[str, Any]:
    """Return the claims of an ID token.

    Raises:
        IdentityRefusedError: it is not valid for this client and this sign-in.
        newswire_ingest.openid.errors.ProviderUnavailableError: the keys cannot be fetched.
    """
    if not isinstance(token, str) or len(token) > MAX_TOKEN_CHARS:
        raise IdentityRefusedError("there is no ID token, or it is too long")
    decoded = await _decoded(token, discovery)
    try:
        params = {"nonce": nonce, "client_id": client_id}
        if isinstance(access_token, str):
            params["access_token"] = access_token
        options = {
            "iss": {"essential": True, "value": issuer},
            "aud": {"essential": True, "value": client_id},
        }
        CodeIDToken(decoded.claims, decoded.header, options, params).validate(leeway=LEEWAY_SECONDS)
    except (JoseError, ValueError, TypeError, KeyError) as error:
        raise IdentityRefusedError(f"the ID token is not valid: {type(error).__name__} {error}"[:300]) from None
    return _checked(decoded.claims, client_id, issuer, nonce)


async def _decoded(token: str, discovery: Discovery) -> jwt.Token:
    """Return a token whose signature is right.

    If none of the kept keys fits, the provider may have new ones: with new ids, with that of a former key, or without ids.
    """
    header, tried, reason = _header(token), None, "it is signed with a key that the provider does not publish"
    for newer in (False, True):
        published = await discovery.keys(newer=newer)
        if published is tried:
            break
        tried, keys = published, _matching(published, header)
        if not keys:
            continue
        try:
            return jwt.decode(
                token,
                KeySet.import_key_set({"keys": keys}),
                registry=JWSRegistry(algorithms=ALGORITHMS, strict_check_header=False),
            )
        except (JoseError, ValueError, TypeError, KeyError) as error:
            reason = f"{type(error).__name__} {error}"
    raise IdentityRefusedError(f"the ID token is not valid: {reason}"[:300])


def _checked(claims: dict[str, Any], client_id: str, issuer: str, nonce: str) -> dict[str, Any]:
    """Check again what must hold whatever the library makes of unusual types."""
    subject, audience = claims.get("sub"), claims.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    if claims.get("iss") != issuer or client_id not in audiences:
        raise IdentityRefusedError("the ID token is for another client, or of another issuer")
    if not isinstance(subject, str) or not 1 <= len(subject) <= MAX_SUBJECT_CHARS:
        raise IdentityRefusedError("the ID token has no valid subject")
    if not hmac.compare_digest(str(claims.get("nonce")).encode(), nonce.encode()):
        raise IdentityRefusedError("the ID token is for another sign-in")
    return claims


def _header(token: str) -> dict[str, Any]:
    try:
        header = orjson.loads(urlsafe_b64decode(to_bytes(token.partition(".")[0])))
    except ValueError:
        raise IdentityRefusedError("the ID token is no signed token") from None
    if not isinstance(header, dict) or header.get("alg") not in ALGORITHMS:
        raise IdentityRefusedError("the ID token is not signed by an algorithm that is accepted")
    return header


def _matching(keys: list[dict[str, Any]], header: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the keys that a token may be signed with: the one that it names; if it names none, all of a provider with one key."""
    if "kid" in header:
        return [each for each in keys if each.get("kid") == header["kid"]]
    return keys if len(keys) == 1 else []
