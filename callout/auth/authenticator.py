"""Who is asking: a bearer token becomes a `Viewer`.

Two kinds of token are taken: API keys of services, and JWTs. A JWT that names a key (`kid`) is checked with that key
of the issuer's (RS256, ES256), where a JWKS URL is configured; any other with the configured secret (HS256). Which
algorithm goes with which key is fixed here: what the token says of its algorithm can only make it fail.

Technicians, customers and API keys are looked up in the database. Who has been identified is remembered for
`REMEMBER_SECONDS`, so that a request costs one dictionary lookup, and a revoked key or a deactivated technician is
refused within that time. Requests that come with one token at once make one look-up.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from collections import OrderedDict
from collections.abc import Collection
from time import monotonic
from typing import Any

import jwt
from sqlalchemy import Text, any_, bindparam, cast, select, true, union_all
from sqlalchemy.dialects.postgresql import ARRAY, UUID

from callout.auth.jwks import ALGORITHMS, KeySet
from callout.http.errors import AuthenticationUnavailable, HttpError, Unauthenticated
from callout.settings import Settings
from db.enums import Role
from db.ids import is_uuid
from db.limits import NAME_MAX
from db.models import ApiKeyRow, CustomerRow, TechnicianRow
from db.postgres.pool import OUTAGE
from db.postgres.statement import Queryable, Statement
from db.viewer import Viewer

REMEMBER_SECONDS = 1.0
REMEMBERED_MAX = 10_000
LOOKUP_SECONDS = 5.0
LEEWAY_SECONDS = 5
AUTHORIZATION_MAX = 8_192  # characters

_BEARER = re.compile(r"bearer ([A-Za-z0-9_.-]+)", re.IGNORECASE)
_API_KEY = re.compile(r"callout_[A-Za-z0-9_-]{43}")
# What PostgreSQL can store and a log can show.
_TEXT = re.compile(rf"(?!\s*$)[^\x00-\x1f\x7f\ud800-\udfff]{{1,{NAME_MAX}}}")

_JWT = jwt.PyJWT({"enforce_minimum_key_length": True, "require": ["sub", "role", "iss", "aud", "exp", "iat"]})
_ROLES = {role.value.lower(): role for role in Role}

KEYS = ARRAY(UUID(as_uuid=False))

_SERVICE = Statement(
    select(ApiKeyRow.id, ApiKeyRow.name).where(
        ApiKeyRow.secret_hash == bindparam("hash"), ApiKeyRow.revoked_at.is_(None)
    )
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
        Statement(select(CustomerRow.id, CustomerRow.name).where(CustomerRow.id == bindparam("id"))),
    ),
}
_STILL_THERE = Statement(
    union_all(
        *(
            select(cast(model.id, Text).label("id")).where(model.id == any_(bindparam(name, type_=KEYS)), condition)
            for model, name, condition in (
                (TechnicianRow, "technicians", TechnicianRow.active),
                (CustomerRow, "customers", true()),
                (ApiKeyRow, "keys", ApiKeyRow.revoked_at.is_(None)),
            )
        )
    )
)


def mint(settings: Settings, *, role: Role, subject: str, name: str, ttl: int) -> str:
    """A token signed with the configured secret and good for `ttl` seconds, for development and the command line.

    `subject` is a global id (`tec_…`, `cus_…`) for a technician or a customer, and free text for the others. Raises
    `ValueError` where no secret is configured: only the issuer makes tokens then.
    """
    if settings.jwt_secret is None:
        raise ValueError("no secret is configured to sign tokens with")
    now = int(time.time())
    claims = {
        "sub": subject,
        "role": role.value.lower(),
        "name": name,
        "iss": settings.jwt_issuer,
        "aud": settings.jwt_audience,
        "iat": now,
        "exp": now + ttl,
    }
    return jwt.encode(claims, settings.jwt_secret, algorithm="HS256")


class Authenticator:
    """One for each process; `close()` it before the database."""

    def __init__(self, settings: Settings, database: Queryable) -> None:
        self._database = database
        self._secret = settings.jwt_secret
        self._issuer = settings.jwt_issuer
        self._audience = settings.jwt_audience
        self._keys = KeySet(settings.jwt_jwks_url) if settings.jwt_jwks_url else None
        self._known: OrderedDict[str | None, tuple[Viewer | Unauthenticated, float]] = OrderedDict()
        self._looking: dict[str, asyncio.Task[Viewer | HttpError]] = {}

    async def authenticate(self, authorization: str | None) -> Viewer:
        """The viewer behind the value of an `Authorization` header; raises `Unauthenticated` if there is none, and
        `AuthenticationUnavailable` if that cannot be told within `LOOKUP_SECONDS`."""
        known = self._known.get(authorization)
        outcome = known[0] if known is not None and monotonic() < known[1] else await self._identify(authorization)
        if isinstance(outcome, Viewer):
            return outcome
        raise outcome.with_traceback(None)

    def validity(self, authorization: str) -> tuple[float | None, bool]:
        """When the token of an authenticated request runs out (Unix time), and whether it is an API key."""
        token = authorization.partition(" ")[2]
        if _API_KEY.fullmatch(token):
            return None, True
        claims = jwt.decode(token, options={"verify_signature": False})  # which has been verified
        return int(claims["exp"]) + LEEWAY_SECONDS, False

    async def still_there(self, viewers: Collection[tuple[Viewer, bool]]) -> set[Viewer]:
        """Which viewers, each with whether it is an API key, would still be let in. Raises what the database does."""
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
                found = {row["id"] for row in await _STILL_THERE.fetch(self._database, **asked)}
            there |= {viewer for viewer, _ in viewers if viewer.id in found}
        return there

    async def close(self) -> None:
        """Ends the look-ups under way. Waits for them, but not for a database that has fallen silent."""
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
        # Not `wait_for`: whoever gives up must not take the look-up away from the others who wait for it, and a
        # connection to a database that has fallen silent takes longer to let go of than this.
        await asyncio.wait({task}, timeout=LOOKUP_SECONDS)
        return task.result() if task.done() else AuthenticationUnavailable(reason="the database does not answer")

    async def _look_up(self, authorization: str, token: str) -> Viewer | HttpError:
        """Identifies, and remembers what the database said. The time starts before the database is asked."""
        until = monotonic() + REMEMBER_SECONDS
        try:
            if _API_KEY.fullmatch(token):
                viewer = await self._find(Role.SERVICE, _SERVICE, hash=hashlib.sha256(token.encode()).digest())
            else:
                claims = await self._verify(token)
                now = time.time()
                until += min(now + REMEMBER_SECONDS, int(claims["exp"]) + LEEWAY_SECONDS) - (now + REMEMBER_SECONDS)
                viewer = await self._viewer(claims)
        except HttpError as error:
            return error
        outcome = viewer or Unauthenticated(reason="unknown, revoked or inactive")
        self._remember(authorization, outcome, until)
        return outcome

    async def _verify(self, token: str) -> dict[str, Any]:
        """The claims of a JWT whose signature, issuer, audience and times are right."""
        try:
            kid = jwt.get_unverified_header(token).get("kid")
            if self._keys is not None and kid is not None:
                key = await self._keys.find(kid)
                if key is not None:
                    return self._decode(token, key, ALGORITHMS)
            elif self._secret is not None:
                return self._decode(token, self._secret, ["HS256"])
            raise Unauthenticated(reason="signed with an unknown key")
        except jwt.ExpiredSignatureError:
            raise Unauthenticated("The token has expired.", reason="expired") from None
        except jwt.PyJWTError as error:
            raise Unauthenticated(reason=type(error).__name__) from None

    def _decode(self, token: str, key: str | jwt.PyJWK, algorithms: list[str]) -> dict[str, Any]:
        return _JWT.decode(token, key, algorithms, audience=self._audience, issuer=self._issuer, leeway=LEEWAY_SECONDS)

    async def _viewer(self, claims: dict[str, Any]) -> Viewer | None:
        """Whom the claims speak of: None if the database has no such person, or an inactive one."""
        subject, name = claims["sub"], claims.get("name")
        role = _ROLES.get(claims["role"]) if isinstance(claims["role"], str) else None
        if role is None:
            raise Unauthenticated(reason="unknown role")
        if role in _PEOPLE:
            prefix, statement = _PEOPLE[role]
            found, _, key = subject.partition("_")
            if found != prefix or not is_uuid(key):
                raise Unauthenticated(reason="not the subject of this role")
            return await self._find(role, statement, id=key)
        if not _TEXT.fullmatch(subject) or not isinstance(name, str) or not _TEXT.fullmatch(name):
            raise Unauthenticated(reason="unusable subject or name")
        return Viewer(role, subject, name)

    async def _find(self, role: Role, statement: Statement, **values: object) -> Viewer | None:
        try:
            async with asyncio.timeout(LOOKUP_SECONDS):
                row = await statement.fetchrow(self._database, **values)
        except OUTAGE as error:
            raise AuthenticationUnavailable(reason=repr(error)) from None
        return None if row is None else Viewer(role, str(row["id"]), row["name"])

    def _remember(self, authorization: str, outcome: Viewer | Unauthenticated, until: float) -> None:
        known = self._known
        known[authorization] = (outcome, until)
        known.move_to_end(authorization)
        while known and (len(known) > REMEMBERED_MAX or next(iter(known.values()))[1] < monotonic()):
            known.popitem(last=False)
