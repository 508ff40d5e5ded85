"""An OpenID Connect provider on loopback that says what a test has it say, also what none may."""

import hashlib
import json
import threading
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer
from time import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey

from tests.support.quiet_handler import QuietHandler, answering

CLIENT, SECRET = "kodolly", "client-secret-of-more-than-256-bits"


@dataclass
class ScriptedProvider:
    """One that runs. `change` is put over what a token would truly say."""

    issuer: str
    user: dict[str, Any] = field(default_factory=lambda: {"sub": "u1", "name": "김하나", "groups": ["staff"]})
    change: dict[str, Any] = field(default_factory=dict)
    algorithm: str = "RS256"
    forged: bool = False
    """Sign with another key than the one that is shown."""
    told_by: str = "id_token"
    """Or `userinfo`, where all but `sub` is told there."""
    broken: str = ""
    """What does not do its work: `hangs`, `refuses`, `elsewhere`."""
    metadata: dict[str, Any] = field(default_factory=dict)
    key: RSAKey = field(default_factory=lambda: RSAKey.generate_key(2048, {"kid": "one", "use": "sig"}))
    released: threading.Event = field(default_factory=threading.Event)
    asked: dict[str, dict[str, str]] = field(default_factory=dict)
    """By code: the authorization request that it answers."""

    def sign_in(self, url: str) -> dict[str, str]:
        """What the user's browser brings back after it was led to `url`."""
        request = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        code = f"code-{len(self.asked)}"
        self.asked[code] = request
        return {"code": code, "state": request["state"], "iss": self.issuer}

    def discovery(self) -> dict[str, Any]:
        """What it says of itself."""
        given = {
            "issuer": "https://elsewhere.example" if self.broken == "elsewhere" else self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/jwks",
            "userinfo_endpoint": f"{self.issuer}/userinfo",
            "end_session_endpoint": f"{self.issuer}/out",
        }
        return given | self.metadata

    def redeem(self, form: dict[str, str], authorization: str) -> tuple[int, dict[str, Any]]:
        """The token endpoint: a code is worth something once, to whoever holds secret and verifier."""
        request = self.asked.pop(form.get("code", ""), None)
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = urlsafe_b64encode(digest).rstrip(b"=").decode()
        if self.broken == "refuses" or not authorization.startswith("Basic "):
            return 401, {"error": "invalid_client"}
        if request is None or request["code_challenge"] != challenge:
            return 400, {"error": "invalid_grant"}
        if form["redirect_uri"] != request["redirect_uri"]:
            return 400, {"error": "invalid_grant"}
        return 200, {
            "access_token": "access",
            "token_type": "Bearer",
            "id_token": self._id_token(request["nonce"]),
        }

    def _id_token(self, nonce: str) -> str:
        own = {"iss": self.issuer, "aud": CLIENT, "iat": int(time()), "exp": int(time()) + 60, "nonce": nonce}
        told = self.user if self.told_by == "id_token" else {"sub": self.user["sub"]}
        claims = {name: value for name, value in (own | told | self.change).items() if value is not None}
        header = {"alg": self.algorithm, "kid": "one"}
        if self.algorithm == "none":
            parts = [json.dumps(part).encode() for part in (header, claims)]
            return ".".join([urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts] + [""])
        if self.algorithm == "HS256":
            return jwt.encode(header, claims, OctKey.import_key(SECRET), algorithms=["HS256"])
        key = RSAKey.generate_key(2048, {"kid": "one"}) if self.forged else self.key
        return jwt.encode(header, claims, key, algorithms=[self.algorithm])


@contextmanager
def scripted_provider() -> Iterator[ScriptedProvider]:
    """One on a port of its own."""

    class Handler(QuietHandler):
        def do_GET(self) -> None:
            if provider.broken == "hangs":
                provider.released.wait()
            answers = {
                "/.well-known/openid-configuration": provider.discovery(),
                "/jwks": {"keys": [{"kty": "new"}, provider.key.as_dict(private=False)]},
                "/userinfo": provider.user,
            }
            self.answer(json.dumps(answers[self.path]).encode())

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"])).decode()
            form = {name: values[0] for name, values in parse_qs(body).items()}
            status, told = provider.redeem(form, self.headers.get("authorization", ""))
            self.answer(json.dumps(told).encode(), status)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    provider = ScriptedProvider(f"http://127.0.0.1:{server.server_port}")
    with answering(server):
        try:
            yield provider
        finally:
            provider.released.set()
