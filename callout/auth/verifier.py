"""Verifies JWTs: whose signature it is, and whether issuer, audience, times and lifetime are right.

A token of one of `CALLOUT_JWT_ISSUERS` is checked with the keys of its `iss`, and with nothing else. For any other, if
a JWKS URL is configured, one that names a key (`kid`) is checked with that key; the rest with the configured secrets
(HS256). The algorithms that go with each key are fixed: the algorithm that a token names can only make it fail.

A token says which claim is wrong only once its signature is known to be good.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import jwt
import orjson
from jwt.exceptions import InvalidSubjectError

from callout.auth.claims import OWN, find, invalid, missing, said
from callout.auth.issuers import ClaimMapping, TrustedIssuer
from callout.auth.jwks import Discovery, KeySet
from callout.http.errors import Unauthenticated
from callout.settings import Settings

LEEWAY_SECONDS = 5  # by which an issuer's clock may differ from ours

JWT = jwt.PyJWT({"enforce_minimum_key_length": True, "require": ["iss", "exp", "iat"]})

_UNKNOWN_ISSUER: Final = "The token is of an issuer that this server does not know."
_WRONG_AUDIENCE: Final = "The token is not for this audience."
_TYPES: Final = ("jwt", "at+jwt", "application/at+jwt")  # RFC 9068 has the latter for access tokens


@dataclass(frozen=True, slots=True)
class Verified:
    """The claims of a token that is good. `issuer` is the one of `CALLOUT_JWT_ISSUERS` whose token it is, or None."""

    claims: dict[str, Any]
    mapping: ClaimMapping
    issuer: TrustedIssuer | None = None


class Verifier:
    """One for each process. `close()` it at the end."""

    def __init__(self, settings: Settings) -> None:
        self._secrets = [secret for secret in (settings.jwt_secret, settings.jwt_secret_previous) if secret]
        self._lifetime = settings.jwt_lifetime.total_seconds()
        self._issuer = settings.jwt_issuer
        self._audience = settings.jwt_audience
        self._keys = KeySet(settings.jwt_jwks_url) if settings.jwt_jwks_url else None
        self._mapping = settings.jwt_claims or OWN
        self._issuers = {each.issuer: (each, keys_of(each)) for each in settings.jwt_issuers}

    async def verify(self, token: str) -> Verified:
        """Raises `Unauthenticated` if something is wrong with the token, and `AuthenticationUnavailable` if the keys of
        its issuer cannot be read."""
        issuer = self._issuers.get(self._named_issuer(token) or "") if self._issuers else None
        try:
            verified = await (self._of_issuer(token, *issuer) if issuer else self._of_settings(token))
        except jwt.PyJWTError as error:
            raise self._refusal(error, token, issuer[0] if issuer else None) from None
        self._check_times(verified.claims)
        return verified

    async def close(self) -> None:
        for _, keys in self._issuers.values():
            await keys.close()
        if self._keys is not None:
            await self._keys.close()

    # Issuers of `CALLOUT_JWT_ISSUERS`

    def _named_issuer(self, token: str) -> str | None:
        """The `iss` of a token whose signature is not checked yet; it only chooses the keys. Raises `Unauthenticated`
        if no issuer here has that name."""
        named = _unverified(token).get("iss")
        if isinstance(named, str) and named != self._issuer and named not in self._issuers:
            known = ", ".join(map(said, self._issuers))
            raise Unauthenticated(_UNKNOWN_ISSUER, reason=f"iss is {said(named)}, not {known}")
        return named if isinstance(named, str) else None

    async def _of_issuer(self, token: str, issuer: TrustedIssuer, keys: KeySet) -> Verified:
        header = jwt.get_unverified_header(token)
        kid, algorithm = header.get("kid"), header.get("alg")
        if not isinstance(kid, str):
            raise Unauthenticated(reason=f"the token of {issuer.name} names no key (kid)")
        if algorithm not in issuer.algorithms:
            allowed = ", ".join(issuer.algorithms)
            raise Unauthenticated(reason=f"alg is {said(algorithm)}, and {issuer.name} may use {allowed}")
        found = await keys.find(kid)
        key = None if found is None else found.get(algorithm)
        if key is None:
            raise Unauthenticated(reason=f"{issuer.name} has no key {said(kid)} for {algorithm}")
        options: Any = {"verify_aud": False}  # checked below: not every provider has it in `aud`
        claims = JWT.decode(token, key, [algorithm], issuer=issuer.issuer, leeway=LEEWAY_SECONDS, options=options)
        if str(header.get("typ", "JWT")).lower() not in _TYPES:
            raise Unauthenticated("The token is not an access token.", reason=f"typ is {said(header.get('typ'))}")
        _check_audience(claims, issuer)
        check_required(claims, issuer)
        return Verified(claims, issuer.claims, issuer)

    # The issuer of the other settings

    async def _of_settings(self, token: str) -> Verified:
        kid = jwt.get_unverified_header(token).get("kid")
        if self._keys is not None and kid is not None:
            found = await self._keys.find(kid)
            algorithm = jwt.get_unverified_header(token).get("alg")
            key = found.get(algorithm) if found is not None and isinstance(algorithm, str) else None
            if key is not None:
                return Verified(self._decode(token, key, [key.algorithm_name]), self._mapping)
            raise Unauthenticated(reason=f"unknown signing key: the issuer has no {said(kid)} for {said(algorithm)}")
        if self._secrets:
            return Verified(self._decode_with_a_secret(token), OWN)
        raise Unauthenticated(reason="unknown signing key: the token names none (kid), and no secret is configured")

    def _decode(self, token: str, key: str | jwt.PyJWK, algorithms: list[str]) -> dict[str, Any]:
        return JWT.decode(token, key, algorithms, audience=self._audience, issuer=self._issuer, leeway=LEEWAY_SECONDS)

    def _decode_with_a_secret(self, token: str) -> dict[str, Any]:
        """Tries every secret, also after one has fitted: how long it takes does not reveal which one that was. If none
        fits, raises the error of the one that has signed the token, if there is one."""
        claims: dict[str, Any] | None = None
        refusal: jwt.PyJWTError | None = None
        for secret in self._secrets:
            try:
                claims = self._decode(token, secret, ["HS256"])
            except jwt.InvalidSignatureError as error:
                refusal = refusal or error
            except jwt.PyJWTError as error:
                refusal = error
        if claims is None:
            assert refusal is not None
            raise refusal
        return claims

    def _check_times(self, claims: dict[str, Any]) -> None:
        """Raises `Unauthenticated` unless `iat` and `exp` are numbers, as the library does not require, no further
        apart than a token may be valid."""
        for claim in ("iat", "exp"):
            if not _is_time(claims[claim]):
                raise invalid(claim, f"is {said(claims[claim])}, not a number")
        if int(claims["exp"]) - int(claims["iat"]) > self._lifetime:
            days = self._lifetime / 86_400
            raise Unauthenticated(
                "The token is valid for longer than this server allows.",
                reason=f"iat is {said(claims['iat'])} and exp {said(claims['exp'])}, more than {days:.0f} days later",
            )

    def _refusal(self, error: jwt.PyJWTError, token: str, issuer: TrustedIssuer | None) -> Unauthenticated:
        """What the library's error means for the client, and in full for the log."""
        claims, now = _unverified(token), int(time.time())
        match error:
            case jwt.ExpiredSignatureError():
                return Unauthenticated(
                    "The token has expired.", reason=f"exp is {said(claims.get('exp'))}, and it is {now}"
                )
            case jwt.ImmatureSignatureError():
                times = f"iat is {said(claims.get('iat'))} and nbf {said(claims.get('nbf'))}, and it is {now}"
                return Unauthenticated("The token is not valid yet.", reason=times)
            case jwt.InvalidAudienceError():
                return Unauthenticated(
                    _WRONG_AUDIENCE, reason=f"aud is {said(claims.get('aud'))}, not {said(self._audience)}"
                )
            case jwt.InvalidIssuerError():
                return Unauthenticated(
                    _UNKNOWN_ISSUER, reason=f"iss is {said(claims.get('iss'))}, not {said(self._issuer)}"
                )
            case jwt.MissingRequiredClaimError():
                return missing(error.claim)
            case InvalidSubjectError():
                return invalid("sub", f"is {said(claims.get('sub'))}, not a text")
            case jwt.InvalidIssuedAtError():
                return invalid("iat", f"is {said(claims.get('iat'))}, not a time")
            case _:
                of = f" (of {issuer.name})" if issuer else ""
                return Unauthenticated(reason=f"{type(error).__name__}: {str(error)[:200]}{of}")


def keys_of(issuer: TrustedIssuer) -> KeySet:
    return KeySet(issuer.jwks_url or Discovery(issuer.issuer), issuer.algorithms, issuer.name)


def _check_audience(claims: Mapping[str, Any], issuer: TrustedIssuer) -> None:
    given = find(claims, issuer.audience_claim)
    if given is None:
        raise missing(issuer.audience_claim)
    named = given if isinstance(given, list) else [given]
    if not any(isinstance(each, str) and each in issuer.audience for each in named):
        accepted = ", ".join(map(said, issuer.audience))
        raise Unauthenticated(
            _WRONG_AUDIENCE, reason=f"{issuer.audience_claim} is {said(given)}; {issuer.name} may name {accepted}"
        )


def check_required(claims: Mapping[str, Any], issuer: TrustedIssuer) -> None:
    """Raises `Unauthenticated` unless the claims have what the settings of the issuer require."""
    for path, accepted in issuer.require.items():
        given = find(claims, path)
        if given is None:
            raise missing(path)
        named = given if isinstance(given, list) else [given]
        # True equals 1, and they are different claims.
        if not any(type(each) is type(value) and each == value for each in named for value in accepted):
            raise invalid(path, f"is {said(given)}; {issuer.name} requires {', '.join(map(said, accepted))}")


def _is_time(value: object) -> bool:
    """Whether the claim is a NumericDate (RFC 7519, section 2). The library has checked that it can be made an integer,
    and so takes texts and booleans."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _unverified(token: str) -> dict[str, Any]:
    """The claims of a token whose signature is not checked; none if they cannot be read."""
    try:
        payload = token.split(".")[1]
        claims = orjson.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (IndexError, ValueError):
        return {}
    return claims if isinstance(claims, dict) else {}
