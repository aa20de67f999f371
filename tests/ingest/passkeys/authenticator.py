"""An authenticator in software, which also does what a real one never would."""

import base64
import hashlib
import json
import os
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from webauthn.helpers import encode_cbor

USER_PRESENT, USER_VERIFIED, HAS_CREDENTIAL = 0x01, 0x04, 0x40


def text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def data(encoded: str) -> bytes:
    return base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))


@dataclass
class Authenticator:
    """Holds one credential; what it answers can be changed in every part."""

    origin: str = "https://news.example"
    flags: int = USER_PRESENT | USER_VERIFIED
    rp_id: str | None = None
    """Instead of the one that the site names."""
    count: int = 0
    counts: bool = True
    credential_id: bytes = field(default_factory=lambda: os.urandom(32))
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    user_handle: bytes = b""

    def create(self, options: str, **changed: Any) -> str:
        """Return the answer to the options of a registration. ``changed``: members of the result to replace."""
        asked = json.loads(options)
        self.user_handle = data(asked["user"]["id"])
        numbers = self.key.public_key().public_numbers()
        public = {1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32, "big")}
        attested = bytes(16) + len(self.credential_id).to_bytes(2, "big") + self.credential_id + encode_cbor(public)
        made = self._data(self.rp_id or asked["rp"]["id"], HAS_CREDENTIAL) + attested
        attestation = encode_cbor({"fmt": "none", "attStmt": {}, "authData": made})
        response = {"clientDataJSON": self._client_data("webauthn.create", asked["challenge"])}
        return self._answer(
            response | {"attestationObject": text(attestation), "transports": ["internal", "?"]}, changed
        )

    def get(self, options: str, **changed: Any) -> str:
        """Return the answer to the options of a sign-in."""
        asked = json.loads(options)
        self.count += self.counts
        client = self._client_data("webauthn.get", asked["challenge"])
        made = self._data(self.rp_id or asked["rpId"], 0)
        signature = self.key.sign(made + hashlib.sha256(data(client)).digest(), ec.ECDSA(SHA256()))
        response = {"clientDataJSON": client, "authenticatorData": text(made), "signature": text(signature)}
        return self._answer(response | {"userHandle": text(self.user_handle)}, changed)

    def _client_data(self, kind: str, challenge: str) -> str:
        content = {"type": kind, "challenge": challenge, "origin": self.origin, "crossOrigin": False}
        return text(json.dumps(content).encode())

    def _data(self, rp_id: str, flags: int) -> bytes:
        return hashlib.sha256(rp_id.encode()).digest() + bytes([self.flags | flags]) + self.count.to_bytes(4, "big")

    def _answer(self, response: dict[str, Any], changed: dict[str, Any]) -> str:
        own = {"id": text(self.credential_id), "rawId": text(self.credential_id), "type": "public-key"}
        return json.dumps(own | {"response": response | changed.pop("response", {})} | changed)
