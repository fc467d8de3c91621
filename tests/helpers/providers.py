"""Identity providers on a loopback port: each publishes its OpenID configuration and its keys, and issues tokens."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeAlias, TypeVar
from urllib.parse import parse_qsl

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from tests.helpers.issuer import EC_KEY, RSA_KEY, Behaviour, PrivateKey, ProviderHandler
from tests.helpers.process import serving

ED_KEY = ed25519.Ed25519PrivateKey.generate()
P384_KEY = ec.generate_private_key(ec.SECP384R1())
KEYS: dict[str, PrivateKey | ed25519.Ed25519PrivateKey] = {"ES256": EC_KEY, "ES384": P384_KEY, "EdDSA": ED_KEY}
DOCUMENTED = Path("docs/signing-in.md")

SigningKey: TypeAlias = PrivateKey | ed25519.Ed25519PrivateKey


class Provider:
    """An issuer at a path. `settings` are those of `CALLOUT_JWT_ISSUERS`, with its own `issuer`."""

    def __init__(self, origin: str, path: str, settings: Mapping[str, Any], algorithm: str) -> None:
        self.origin = origin
        self.issuer = origin + path
        self.settings = {**settings, "issuer": self.issuer}
        self.kid = "first"
        self.algorithm = algorithm
        self.keys: list[Any] = [self.jwk()]
        self.configuration: Any = {"issuer": self.issuer, "jwks_uri": f"{self.issuer.rstrip('/')}/jwks"}
        self.behaviour: Behaviour = "well"
        self.asked: list[str] = []

    @property
    def key(self) -> SigningKey:
        return KEYS.get(self.algorithm, RSA_KEY)

    def jwk(self) -> dict[str, Any]:
        """The public key as providers publish it; those with RSA name no algorithm, as Entra ID's."""
        public: Any = self.key.public_key()
        document: dict[str, Any] = json.loads(jwt.get_algorithm_by_name(self.algorithm).to_jwk(public))
        return document | {"kid": self.kid, "use": "sig"}

    def rotate(self, kid: str) -> None:
        """Signs with a new key from now on, and publishes no other."""
        self.kid = kid
        self.keys = [self.jwk()]

    def token(self, claims: Mapping[str, Any], **header: Any) -> str:
        """A token with these claims, its issuer and the usual times; None removes a claim, or part of the header."""
        now = int(time.time())
        all_claims = {"iss": self.issuer, "iat": now, "exp": now + 3600, **claims}
        kept = {name: value for name, value in all_claims.items() if value is not None}
        return jwt.encode(kept, self.key, self.algorithm, {"kid": self.kid, **header})

    def answer(self, path: str) -> tuple[int, bytes]:
        self.asked.append(path)
        if path.endswith("/.well-known/openid-configuration"):
            return 200, json.dumps(self.configuration).encode()
        return 200, json.dumps({"keys": self.keys}).encode()

    def answer_form(self, path: str, form: Mapping[str, str], authorization: str | None) -> tuple[int, bytes]:
        """The answer to a POST; this provider takes none."""
        return 404, b""


AnyProvider = TypeVar("AnyProvider", bound=Provider)


class Providers:
    def __init__(self, port: int) -> None:
        self.origin = f"http://127.0.0.1:{port}"
        self.all: list[Provider] = []

    def add(self, path: str, settings: Mapping[str, Any], algorithm: str = "RS256") -> Provider:
        return self.add_as(Provider, path, settings, algorithm)

    def add_as(
        self, kind: type[AnyProvider], path: str, settings: Mapping[str, Any], algorithm: str = "RS256"
    ) -> AnyProvider:
        provider = kind(self.origin, path, settings, algorithm)
        self.all.append(provider)
        return provider

    def of(self, path: str) -> Provider | None:
        """The provider with the longest path that this one begins with."""
        found = [each for each in self.all if (self.origin + path).startswith(each.issuer.rstrip("/"))]
        return max(found, key=lambda each: len(each.issuer), default=None)

    @property
    def setting(self) -> str:
        """The value of `CALLOUT_JWT_ISSUERS`."""
        return json.dumps([each.settings for each in self.all])


@contextmanager
def providers() -> Iterator[Providers]:
    stopping = threading.Event()

    class Handler(ProviderHandler):
        def do_GET(self) -> None:
            provider = state.of(self.path)
            if provider is None:
                self.answer(404, b"")
                return
            found = provider.answer(self.path)
            self.behave(provider.behaviour, lambda: found, provider.issuer + "/elsewhere", stopping)

        def do_POST(self) -> None:
            provider = state.of(self.path)
            form = dict(parse_qsl(self.rfile.read(int(self.headers["content-length"])).decode()))
            if provider is None:
                self.answer(404, b"")
                return
            found = provider.answer_form(self.path, form, self.headers["authorization"])
            self.behave(provider.behaviour, lambda: found, provider.issuer + "/elsewhere", stopping)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state = Providers(server.server_port)
    with serving(server, stopping):
        yield state


def documented(heading: str, number: int = 0) -> dict[str, Any]:
    """The worked configuration under this heading of `docs/signing-in.md`."""
    section = DOCUMENTED.read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    settings: dict[str, Any] = json.loads(section.split("```json\n")[1 + number].split("```")[0])
    return settings
