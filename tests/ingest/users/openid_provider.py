"""A provider of OpenID Connect on this machine, every part of which can be made hostile."""

import base64
import gzip
import hashlib
import hmac
import json
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import httpx
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

from tests.polling import until
from tests.servers.http_server import serving
from tests.servers.valkey import free_port

KEY = RSAKey.generate_key(2048, parameters={"kid": "rsa-1", "use": "sig"})
OTHER_KEY = RSAKey.generate_key(2048, parameters={"kid": "rsa-1", "use": "sig"})
"""With the same id, but not published."""
NEW_KEY = ECKey.generate_key("P-256", parameters={"kid": "ec-2", "use": "sig"})
NEXT_KEY = ECKey.generate_key("P-256", parameters={"kid": "ec-2", "use": "sig"})
"""With the same id as the one before."""


def encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def signed_by_hand(claims: dict[str, Any], alg: str, secret: bytes | None) -> str:
    """Return a token of an algorithm that is not for ID tokens."""
    header = {"alg": alg, "kid": "rsa-1", "typ": "JWT"}
    head = f"{encoded(json.dumps(header).encode())}.{encoded(json.dumps(claims).encode())}"
    return f"{head}.{encoded(hmac.digest(secret, head.encode(), hashlib.sha256)) if secret else ''}"


Signer = Callable[[dict[str, Any]], str]


def sign_with(key: RSAKey | ECKey, alg: str = "RS256", **header: Any) -> Signer:
    return lambda claims: jwt.encode({"alg": alg, "kid": key.kid} | header, claims, key)


@dataclass
class Provider:
    """What the provider says. ``claims`` replace those of the ID token (None removes one); the others whole answers."""

    issuer: str = ""
    person: dict[str, Any] = field(
        default_factory=lambda: {
            "sub": "p-1",
            "email": "ida@harbour.example",
            "email_verified": True,
            "name": "Ida Roth",
        }
    )
    claims: dict[str, Any] = field(default_factory=dict)
    sign: Signer = field(default_factory=lambda: sign_with(KEY))
    keys: list[Any] = field(default_factory=lambda: [KEY])
    configuration: dict[str, Any] = field(default_factory=dict)
    answers: dict[str, tuple[int, dict[str, str], bytes]] = field(default_factory=dict)
    """By path: status, headers and body to answer with instead."""
    back: dict[str, str] = field(default_factory=dict)
    """Query parameters to replace when a person is sent back."""
    delay: float = 0
    only_in_userinfo: frozenset[str] = frozenset()
    """The claims about the person that only the user information has."""
    asked: list[str] = field(default_factory=list)
    """The paths that were requested."""
    codes: dict[str, dict[str, str]] = field(default_factory=dict)

    def metadata(self) -> dict[str, Any]:
        names = {"authorization_endpoint": "authorize", "token_endpoint": "token", "jwks_uri": "keys"}
        own: dict[str, Any] = {each: f"{self.issuer}/{path}" for each, path in names.items()}
        own |= {"issuer": self.issuer, "userinfo_endpoint": f"{self.issuer}/userinfo"}
        return own | {"authorization_response_iss_parameter_supported": True} | self.configuration

    def authorize(self, query: str) -> str:
        asked = dict(parse_qsl(query))
        code = secrets.token_urlsafe(8)
        self.codes[code] = asked
        sent = {"code": code, "state": asked["state"], "iss": self.issuer} | self.back
        return f"{asked['redirect_uri']}?{urlencode({name: value for name, value in sent.items() if value})}"

    def token(self, body: str, authorization: str) -> tuple[int, dict[str, Any]]:
        sent = {name: values[0] for name, values in parse_qs(body).items()}
        asked = self.codes.pop(sent.get("code", ""), None)
        if asked is None:
            return 400, {"error": "invalid_grant"}
        challenge = encoded(hashlib.sha256(sent["code_verifier"].encode()).digest())
        secret = base64.b64encode(b"newswire:s%2Fcret").decode()
        is_client = authorization == f"Basic {secret}" or sent.get("client_secret") == "s/cret"
        if challenge != asked["code_challenge"] or not is_client:
            return 401, {"error": "invalid_client"}
        now = int(time.time())
        claims = {"iss": self.issuer, "aud": asked["client_id"], "exp": now + 300, "iat": now, "auth_time": now}
        claims |= {"nonce": asked["nonce"], "sub": self.person.get("sub")}
        claims |= {
            name: value for name, value in self.person.items() if name not in self.only_in_userinfo
        } | self.claims
        token = self.sign({name: value for name, value in claims.items() if value is not None})
        return 200, {"access_token": "at", "token_type": "Bearer", "id_token": token}


@contextmanager
def running_provider() -> Iterator[Provider]:
    provider = Provider()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path, query = urlsplit(self.path).path, urlsplit(self.path).query
            provider.asked.append(path)
            time.sleep(provider.delay)
            if path in provider.answers:
                self.reply(*provider.answers[path])
            elif path == "/authorize":
                self.reply(302, {"Location": provider.authorize(query)}, b"")
            elif path == "/keys":
                self.reply_json({"keys": [each.as_dict(private=False) for each in provider.keys]})
            elif path == "/userinfo":
                self.reply_json(provider.person)
            else:
                self.reply_json(provider.metadata())

        def do_POST(self) -> None:
            provider.asked.append(self.path)
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            if self.path in provider.answers:
                self.reply(*provider.answers[self.path])
            else:
                status, answer = provider.token(body, self.headers.get("Authorization", ""))
                self.reply_json(answer, status)

        def reply_json(self, content: Any, status: int = 200) -> None:
            self.reply(status, {"Content-Type": "application/json"}, json.dumps(content).encode())

        def reply(self, status: int, headers: dict[str, str], body: bytes) -> None:
            self.send_response(status)
            for name, value in ({"Content-Length": str(len(body))} | headers).items():
                self.send_header(name, value)
            self.end_headers()
            try:
                self.wfile.write(body)
            except OSError:
                return  # the client had enough

        def log_message(self, *_: object) -> None: ...

    with serving(Handler) as site:
        provider.issuer = site
        yield provider


@contextmanager
def third_party_provider(person: dict[str, Any]) -> Iterator[str]:
    """Run a provider that others wrote, with one person; yield its issuer."""
    port = free_port()
    options = ["--port", str(port), "--user-claims", json.dumps(person), "--require-nonce"]
    with subprocess.Popen([sys.executable, "-W", "ignore", "-m", "oidc_provider_mock", *options]) as process:
        try:
            issuer = f"http://localhost:{port}"
            until(lambda: _answers(issuer))
            yield issuer
        finally:
            process.terminate()


def _answers(site: str) -> bool:
    try:
        return httpx.get(site, trust_env=False).is_success
    except httpx.TransportError:
        return False


COMPRESSED = gzip.compress(json.dumps({"keys": []}).encode())
