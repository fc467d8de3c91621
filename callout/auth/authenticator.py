"""Authentication: turns a bearer token into a `Viewer`.

A token is a service's API key or a JWT. If a JWKS URL is configured, a JWT that names a key (`kid`) is checked with
that key of the issuer's (RS256, ES256); any other JWT is checked with the configured secrets (HS256). The algorithms
that go with each key are fixed here: the algorithm that a token names can only make it fail.

Technicians, customers and API keys are looked up in the database. The result is remembered for `REMEMBER_SECONDS`, so a
warm request costs one dictionary lookup, and a revoked key or a deactivated technician is refused within that time.
Concurrent requests with the same token share one look-up. When a token is revoked, everything is forgotten.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from time import monotonic
from typing import Any

import jwt
from sqlalchemy import Text, and_, any_, bindparam, cast, extract, func, null, or_, select, union_all
from sqlalchemy.dialects.postgresql import ARRAY, UUID

from callout.auth.jwks import ALGORITHMS, KeySet
from callout.auth.key_uses import KeyUses
from callout.auth.revocations import Revocations
from callout.http.errors import AuthenticationUnavailable, HttpError, Unauthenticated
from callout.settings import Settings
from db.enums import Role, ServiceScope
from db.ids import is_uuid
from db.limits import EMAIL_MAX, NAME_MAX
from db.models import ApiKeyRow, CustomerRow, TechnicianRow
from db.postgres.pool import OUTAGE
from db.postgres.statement import Queryable, Statement
from db.viewer import Issued, Viewer
from notifiers.company_profile import zone_of

REMEMBER_SECONDS = 1.0
REMEMBERED_MAX = 10_000
LOOKUP_SECONDS = 5.0
LEEWAY_SECONDS = 5  # by which an issuer's clock may differ from ours
AUTHORIZATION_MAX = 8_192  # characters
SCOPE_CLAIM = "service_scope"

_BEARER = re.compile(r"bearer ([A-Za-z0-9_.-]+)", re.IGNORECASE)
_API_KEY = re.compile(r"callout_[A-Za-z0-9_-]{43}")
# Only text that PostgreSQL can store and a log can show: no control characters, no lone surrogates.
_TEXT = re.compile(rf"(?!\s*$)[^\x00-\x1f\x7f\ud800-\udfff]{{1,{NAME_MAX}}}")

_JWT = jwt.PyJWT({"enforce_minimum_key_length": True, "require": ["sub", "role", "iss", "aud", "exp", "iat"]})
_ROLES = {role.value.lower(): role for role in Role}
_SCOPES = {scope.value.lower(): scope for scope in ServiceScope}

KEYS = ARRAY(UUID(as_uuid=False))

_SCOPE = cast(ApiKeyRow.scope, Text)  # a driver that does not know an enum looks it up, once for each connection
_SERVICE = Statement(
    select(
        ApiKeyRow.id,
        ApiKeyRow.name,
        _SCOPE.label("scope"),
        extract("epoch", ApiKeyRow.expires_at - func.now()).label("seconds_left"),
    ).where(ApiKeyRow.secret_hash == bindparam("hash"), ApiKeyRow.revoked_at.is_(None))
)
_PEOPLE = {
    Role.TECHNICIAN: (
        "tec",
        Statement(
            select(TechnicianRow.id, TechnicianRow.name).where(
                TechnicianRow.id == bindparam("id"), TechnicianRow.active
            )
        ),
    ),
    Role.CUSTOMER: (
        "cus",
        Statement(
            select(CustomerRow.id, CustomerRow.name).where(
                CustomerRow.id == bindparam("id"), CustomerRow.erased_at.is_(None)
            )
        ),
    ),
}
_VALID = and_(ApiKeyRow.revoked_at.is_(None), or_(ApiKeyRow.expires_at.is_(None), ApiKeyRow.expires_at > func.now()))
_STILL_THERE = Statement(
    union_all(
        *(
            select(cast(model.id, Text).label("id"), scope.label("scope")).where(
                model.id == any_(bindparam(name, type_=KEYS)), condition
            )
            for model, name, scope, condition in (
                (TechnicianRow, "technicians", cast(null(), Text), TechnicianRow.active),
                (CustomerRow, "customers", cast(null(), Text), CustomerRow.erased_at.is_(None)),
                (ApiKeyRow, "keys", _SCOPE, _VALID),
            )
        )
    )
)


def mint(
    settings: Settings,
    *,
    role: Role,
    subject: str,
    name: str,
    ttl: int,
    scope: ServiceScope | None = None,
    claims: Mapping[str, object] | None = None,
) -> str:
    """Returns a token signed with the configured secret and valid for `ttl` seconds, for development and the command
    line.

    `subject` is a global id (`tec_…`, `cus_…`) for a technician or a customer, and free text for the others. `scope` is
    for services only; `claims` are further ones, such as `email`. Raises `ValueError` if no secret is configured,
    because then only the issuer can sign tokens, and if Callout would refuse a token that is valid for so long.
    """
    if settings.jwt_secret is None:
        raise ValueError("no secret is configured to sign tokens with")
    if ttl > settings.jwt_lifetime.total_seconds():
        raise ValueError(f"a token may be valid for {settings.jwt_max_lifetime_days} days at most")
    now = int(time.time())
    all_claims = {
        **(claims or {}),
        "sub": subject,
        "role": role.value.lower(),
        "name": name,
        "iss": settings.jwt_issuer,
        "aud": settings.jwt_audience,
        "iat": now,
        "exp": now + ttl,
    }
    if scope is not None:
        all_claims[SCOPE_CLAIM] = scope.value.lower()
    return jwt.encode(all_claims, settings.jwt_secret, algorithm="HS256")


class Authenticator:
    """Authenticates requests. One for each process; `close()` it before the database. Run `follow_revocations()` and
    `uses.write()` for as long as the process serves."""

    def __init__(self, settings: Settings, database: Queryable) -> None:
        self._database = database
        self._secrets = [secret for secret in (settings.jwt_secret, settings.jwt_secret_previous) if secret]
        self._lifetime = settings.jwt_lifetime.total_seconds()
        self._zone = settings.time_zone
        self._issuer = settings.jwt_issuer
        self._audience = settings.jwt_audience
        self._keys = KeySet(settings.jwt_jwks_url) if settings.jwt_jwks_url else None
        self._known: OrderedDict[str | None, tuple[Viewer | Unauthenticated, float]] = OrderedDict()
        self._looking: dict[str, asyncio.Task[Viewer | HttpError]] = {}
        self._revocations = Revocations(settings.jwt_lifetime, LEEWAY_SECONDS)
        self.uses = KeyUses(database)

    async def authenticate(self, authorization: str | None) -> Viewer:
        """Returns the viewer for the value of an `Authorization` header.

        Raises `Unauthenticated` if the token is missing, invalid, expired or revoked, or if its viewer is unknown or
        inactive, and `AuthenticationUnavailable` if it cannot be checked within `LOOKUP_SECONDS`.
        """
        known = self._known.get(authorization)
        outcome = known[0] if known is not None and monotonic() < known[1] else await self._identify(authorization)
        if isinstance(outcome, Viewer):
            return outcome
        raise outcome.with_traceback(None)

    def validity(self, authorization: str) -> tuple[float | None, bool]:
        """Returns when the token of an authenticated request expires (Unix time; None for never), and whether it is an
        API key."""
        token = authorization.partition(" ")[2]
        if _API_KEY.fullmatch(token):
            return None, True
        claims = jwt.decode(token, options={"verify_signature": False})  # verified when it was authenticated
        return int(claims["exp"]) + LEEWAY_SECONDS, False

    def issued(self, authorization: str) -> Issued:
        """Returns to whom and when the JWT of an authenticated request was issued."""
        return _issued(jwt.decode(authorization.partition(" ")[2], options={"verify_signature": False}))

    def is_revoked(self, issued: Issued) -> bool:
        """Whether a revocation that has been read covers the token."""
        return self._revocations.cover(issued)

    async def read_revocations(self) -> None:
        """Reads which tokens are revoked, before the first request. Raises the database's errors."""
        await self._revocations.read(self._database)

    async def follow_revocations(self, url: str, on_revoked: Callable[[], None]) -> None:
        """Reads from the database at `url` which tokens are revoked, forever. When some are, forgets who has been
        authenticated, and calls `on_revoked`."""

        def forget() -> None:
            self._known.clear()
            on_revoked()

        await self._revocations.follow(url, forget)

    async def still_there(self, viewers: Collection[tuple[Viewer, bool]]) -> set[Viewer]:
        """Returns the viewers that still have access: customers who are not erased, active technicians, keys that are
        valid and have the same scope. Each viewer comes with whether it uses an API key. Raises the database's errors,
        and `TimeoutError` after `LOOKUP_SECONDS`."""
        asked: dict[str, list[str]] = {"technicians": [], "customers": [], "keys": []}
        there = set()
        for viewer, by_key in viewers:
            if by_key:
                asked["keys"].append(viewer.id)
            elif viewer.role in _PEOPLE:
                asked["technicians" if viewer.role is Role.TECHNICIAN else "customers"].append(viewer.id)
            else:
                there.add(viewer)
        if any(asked.values()):
            async with asyncio.timeout(LOOKUP_SECONDS):
                found = {(row["id"], row["scope"]) for row in await _STILL_THERE.fetch(self._database, **asked)}
            there |= {viewer for viewer, _ in viewers if (viewer.id, viewer.scope) in found}
        for viewer, by_key in viewers:
            if by_key and viewer in there:
                self.uses.note(viewer.id)
        return there

    def forget(self) -> None:
        """Forgets all viewers and their names, as after an erasure."""
        self._known.clear()

    async def close(self) -> None:
        """Cancels the look-ups under way. Waits for them to end, for up to `LOOKUP_SECONDS` if the database is
        silent."""
        looking = list(self._looking.values())
        for task in looking:
            task.cancel()
        if looking:
            await asyncio.wait(looking, timeout=LOOKUP_SECONDS)
        if self._keys is not None:
            await self._keys.close()

    async def _identify(self, authorization: str | None) -> Viewer | HttpError:
        if authorization is None:
            return Unauthenticated("A bearer token is required.", reason="no token")
        bearer = _BEARER.fullmatch(authorization) if len(authorization) <= AUTHORIZATION_MAX else None
        if bearer is None:
            return Unauthenticated(reason="not a bearer token")
        task = self._looking.get(authorization)
        if task is None:
            task = asyncio.create_task(self._look_up(authorization, bearer[1]))
            self._looking[authorization] = task
            task.add_done_callback(lambda _: self._looking.pop(authorization))
        # Not `wait_for`: a request that gives up must not cancel the look-up that others share, and releasing a
        # connection to a silent database takes longer than `LOOKUP_SECONDS`.
        await asyncio.wait({task}, timeout=LOOKUP_SECONDS)
        return task.result() if task.done() else AuthenticationUnavailable(reason="the database is not responding")

    async def _look_up(self, authorization: str, token: str) -> Viewer | HttpError:
        """Identifies the token's viewer and remembers the result. Its time starts before the query: a revocation that
        happens meanwhile must take effect within `REMEMBER_SECONDS` too."""
        until = monotonic() + REMEMBER_SECONDS
        try:
            if _API_KEY.fullmatch(token):
                outcome, seconds_left = await self._service(token)
                until += min(0.0, seconds_left - REMEMBER_SECONDS)
            else:
                claims = await self._verify(token)
                now = time.time()
                until += min(now + REMEMBER_SECONDS, int(claims["exp"]) + LEEWAY_SECONDS) - (now + REMEMBER_SECONDS)
                outcome = await self._viewer(claims) or Unauthenticated(reason="unknown or inactive")
                # Only now: a reading during the look-up could not make this process forget what it does not remember
                # yet.
                if self._revocations.cover(_issued(claims)):
                    outcome = Unauthenticated("The token has been revoked.", reason="revoked")
        except HttpError as error:
            return error
        self._remember(authorization, outcome, until)
        return outcome

    async def _service(self, key: str) -> tuple[Viewer | Unauthenticated, float]:
        """Returns the viewer of an API key, and for how many seconds the key is valid."""
        row = await self._fetch_row(_SERVICE, hash=hashlib.sha256(key.encode()).digest())
        if row is None:
            return Unauthenticated(reason="unknown or revoked"), math.inf
        seconds_left = math.inf if row["seconds_left"] is None else float(row["seconds_left"])
        if seconds_left <= 0:
            return Unauthenticated("The API key has expired.", reason="expired"), math.inf
        scope = None if row["scope"] is None else ServiceScope(row["scope"])
        self.uses.note(str(row["id"]))
        return Viewer(Role.SERVICE, str(row["id"]), row["name"], scope, time_zone=self._zone), seconds_left

    async def _verify(self, token: str) -> dict[str, Any]:
        """Returns the claims of a JWT after checking its signature, issuer, audience, times and lifetime. Raises
        `Unauthenticated` if one of them is wrong."""
        try:
            kid = jwt.get_unverified_header(token).get("kid")
            if self._keys is not None and kid is not None:
                key = await self._keys.find(kid)
                if key is not None:
                    return self._check_lifetime(self._decode(token, key, ALGORITHMS))
            elif self._secrets:
                return self._check_lifetime(self._decode_with_a_secret(token))
            raise Unauthenticated(reason="unknown signing key")
        except jwt.ExpiredSignatureError:
            raise Unauthenticated("The token has expired.", reason="expired") from None
        except jwt.PyJWTError as error:
            raise Unauthenticated(reason=type(error).__name__) from None

    def _decode(self, token: str, key: str | jwt.PyJWK, algorithms: list[str]) -> dict[str, Any]:
        return _JWT.decode(token, key, algorithms, audience=self._audience, issuer=self._issuer, leeway=LEEWAY_SECONDS)

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

    def _check_lifetime(self, claims: dict[str, Any]) -> dict[str, Any]:
        """Raises `Unauthenticated` unless `iat` and `exp` are numbers, as the library does not require, no further
        apart than a token may be valid."""
        if not (_is_time(claims["iat"]) and _is_time(claims["exp"])):
            raise Unauthenticated(reason="iat or exp is not a number")
        if int(claims["exp"]) - int(claims["iat"]) > self._lifetime:
            raise Unauthenticated("The token is valid for longer than this server allows.", reason="lifetime")
        return claims

    async def _viewer(self, claims: dict[str, Any]) -> Viewer | None:
        """Returns the viewer that the claims name, or None if the database has no such person, or an inactive one.
        Raises `Unauthenticated` if the claims are unusable."""
        subject, name = claims["sub"], claims.get("name")
        role = _ROLES.get(claims["role"]) if isinstance(claims["role"], str) else None
        if role is None:
            raise Unauthenticated(reason="unknown role")
        scope = _scope(claims.get(SCOPE_CLAIM), role)
        if role in _PEOPLE:
            prefix, statement = _PEOPLE[role]
            found, _, key = subject.partition("_")
            if found != prefix or not is_uuid(key):
                raise Unauthenticated(reason="subject does not fit the role")
            return await self._find(role, statement, claims, id=key)
        if not _TEXT.fullmatch(subject) or not isinstance(name, str) or not _TEXT.fullmatch(name):
            raise Unauthenticated(reason="invalid subject or name")
        return Viewer(role, subject, name, scope, _email(claims), self._zone_of(claims))

    async def _find(
        self, role: Role, statement: Statement, claims: Mapping[str, Any], **values: object
    ) -> Viewer | None:
        row = await self._fetch_row(statement, **values)
        if row is None:
            return None
        return Viewer(role, str(row["id"]), row["name"], email=_email(claims), time_zone=self._zone_of(claims))

    def _zone_of(self, claims: Mapping[str, Any]) -> str:
        """The zone that the token names, if there is such a one, or else the company's."""
        name = claims.get("zoneinfo")
        try:
            return zone_of(name).key if isinstance(name, str) else self._zone
        except ValueError:
            return self._zone

    async def _fetch_row(self, statement: Statement, **values: object) -> Any:
        try:
            async with asyncio.timeout(LOOKUP_SECONDS):
                return await statement.fetchrow(self._database, **values)
        except OUTAGE as error:
            raise AuthenticationUnavailable(reason=repr(error)) from None

    def _remember(self, authorization: str, outcome: Viewer | Unauthenticated, until: float) -> None:
        known = self._known
        known[authorization] = (outcome, until)
        known.move_to_end(authorization)
        while known and (len(known) > REMEMBERED_MAX or next(iter(known.values()))[1] < monotonic()):
            known.popitem(last=False)


def _is_time(value: object) -> bool:
    """Whether the claim is a NumericDate (RFC 7519, section 2). The library has checked that it can be made an integer,
    and so takes texts and booleans."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _issued(claims: dict[str, Any]) -> Issued:
    # Trimmed, as the subjects of revocations are.
    return Issued(claims["sub"].strip(), int(claims["iat"]))


def _email(claims: Mapping[str, Any]) -> str | None:
    """The address that the token names, or that is its subject; None if it has none, or none that is verified. It only
    keeps mail about the bearer's own actions from them, so one that cannot be an address does no harm."""
    given = claims.get("email", claims["sub"])
    known = isinstance(given, str) and "@" in given and claims.get("email_verified") is not False
    return given.strip()[:EMAIL_MAX] if known and _TEXT.fullmatch(given) else None


def _scope(claim: object, role: Role) -> ServiceScope | None:
    """Returns the scope that a token names. Raises `Unauthenticated` if there is no such scope, or if its role has
    none."""
    if claim is None:
        return None
    scope = _SCOPES.get(claim) if isinstance(claim, str) else None
    if scope is None or role is not Role.SERVICE:
        raise Unauthenticated(reason="unknown scope, or one of a role that has none")
    return scope
