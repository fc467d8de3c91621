"""Authentication: turns a bearer token into a `Viewer`.

A token is a service's API key, the secret of a session, or a JWT, which `callout/auth/verifier.py` verifies and
`callout/auth/claims.py` reads.

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
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from datetime import timedelta
from time import monotonic
from typing import Any, TypeVar

import jwt
from sqlalchemy import (
    Interval,
    Text,
    and_,
    any_,
    bindparam,
    cast,
    extract,
    func,
    literal_column,
    null,
    or_,
    select,
    union_all,
)
from sqlalchemy.dialects.postgresql import ARRAY, UUID

from callout.auth.claims import Bearer, bearer_of, said
from callout.auth.key_uses import KeyUses, people_uses, session_uses
from callout.auth.revocations import Revocations
from callout.auth.verifier import LEEWAY_SECONDS as LEEWAY_SECONDS
from callout.auth.verifier import Verified, Verifier
from callout.http.context import CURRENT
from callout.http.errors import AuthenticationUnavailable, HttpError, Unauthenticated
from callout.settings import Settings
from db.entities import ADMIN, SESSION
from db.enums import Role, ServiceScope
from db.ids import is_uuid
from db.models import AdminRow, ApiKeyRow, CustomerRow, SessionRow, TechnicianRow
from db.postgres.pool import OUTAGE, Database, Replaced
from db.postgres.statement import Statement
from db.viewer import Issued, SignedIn, Viewer
from notifiers.company_profile import zone_of
from resolvers import audit, identity, session, sign_in
from resolvers.session import KnownPerson

T = TypeVar("T")

REMEMBER_SECONDS = 1.0
REMEMBERED_MAX = 10_000
LOOKUP_SECONDS = 5.0
AUTHORIZATION_MAX = 8_192  # characters
SCOPE_CLAIM = "service_scope"

_BEARER = re.compile(r"bearer ([A-Za-z0-9_.-]+)", re.IGNORECASE)
_BEARER_SCHEME = re.compile(r"bearer +[^ ]", re.IGNORECASE)
_API_KEY = re.compile(r"callout_[A-Za-z0-9_-]{43}")
_SESSION_SECRET = re.compile(rf"{session.SECRET_PREFIX}[A-Za-z0-9_-]{{43}}")

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
_PEOPLE_WITH_ACCESS = (
    (Role.ADMIN, AdminRow, SessionRow.admin_id, AdminRow.active),
    (Role.TECHNICIAN, TechnicianRow, SessionRow.technician_id, TechnicianRow.active),
    (Role.CUSTOMER, CustomerRow, SessionRow.customer_id, CustomerRow.erased_at.is_(None)),
)
_IN_USE = SessionRow.used_at > func.now() - bindparam("lasting", type_=Interval)
_SESSION_COLUMNS = (SessionRow.id, extract("epoch", SessionRow.created_at).label("at"))
_SIGNED_IN = Statement(
    union_all(
        *(
            select(
                *_SESSION_COLUMNS,
                literal_column(f"'{role}'", Text()).label("role"),
                person.id.label("person_id"),
                person.name,
                person.email,
            )
            .join(person, person.id == column)
            .where(
                or_(
                    SessionRow.secret_hash == bindparam("hash"),
                    and_(
                        SessionRow.previous_hash == bindparam("hash"),
                        SessionRow.renewed_at > func.now() - session.PREVIOUS_VALID,
                    ),
                ),
                _IN_USE,
                with_access,
            )
            for role, person, column, with_access in _PEOPLE_WITH_ACCESS
        )
    )
)
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
_STILL_SIGNED_IN = Statement(
    union_all(
        *(
            select(cast(SessionRow.id, Text).label("id"))
            .join(person, person.id == column)
            .where(SessionRow.id == any_(bindparam("sessions", type_=KEYS)), _IN_USE, with_access)
            for _, person, column, with_access in _PEOPLE_WITH_ACCESS
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
    the `write()` of each of its uses for as long as the process serves."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._database = database
        self._verifier = Verifier(settings)
        self._zone = settings.time_zone
        self._known: OrderedDict[str | None, tuple[Viewer | Unauthenticated, float]] = OrderedDict()
        self._looking: dict[str, asyncio.Task[Viewer | HttpError]] = {}
        self._lasting = timedelta(days=settings.session_days)
        # A session can last longer than a token.
        self._revocations = Revocations(max(settings.jwt_lifetime, self._lasting), LEEWAY_SECONDS)
        self.uses = KeyUses(database)
        self.session_uses = session_uses(database)
        self.people_uses = people_uses(database)

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
        """Returns when the token of an authenticated request expires (Unix time; None if that can change), and whether
        it is an API key."""
        token = authorization.partition(" ")[2]
        if _API_KEY.fullmatch(token):
            return None, True
        if _SESSION_SECRET.fullmatch(token):
            return None, False
        claims = jwt.decode(token, options={"verify_signature": False})  # verified when it was authenticated
        return int(claims["exp"]) + LEEWAY_SECONDS, False

    def issued(self, authorization: str, viewer: Viewer) -> Issued:
        """Returns to whom and when the JWT of an authenticated request was issued, or its session began."""
        if viewer.signed_in is not None:
            return _begun(viewer, viewer.signed_in)
        return _issued(jwt.decode(authorization.partition(" ")[2], options={"verify_signature": False}), viewer)

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
            if viewer.signed_in is not None:
                continue
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
            if viewer in there and by_key:
                self.uses.note(viewer.id)
            elif viewer in there and viewer.role is not Role.CUSTOMER:
                self.people_uses.note(viewer.role_and_id)
        return there

    async def still_signed_in(self, sessions: Collection[SignedIn]) -> set[str]:
        """Returns the keys of the sessions that have not ended and whose people have access, and notes that they are in
        use. Raises the database's errors, and `TimeoutError` after `LOOKUP_SECONDS`."""
        if not sessions:
            return set()
        keys = [each.session_id for each in sessions]
        async with asyncio.timeout(LOOKUP_SECONDS):
            rows = await _STILL_SIGNED_IN.fetch(self._database, sessions=keys, lasting=self._lasting)
        there = {row["id"] for row in rows}
        for key in there:
            self.session_uses.note(key)
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
        await self._verifier.close()

    async def _identify(self, authorization: str | None) -> Viewer | HttpError:
        if authorization is None:
            return Unauthenticated("A bearer token is required.", reason="no token")
        bearer = _BEARER.fullmatch(authorization) if len(authorization) <= AUTHORIZATION_MAX else None
        if bearer is None and not _BEARER_SCHEME.match(authorization):
            return Unauthenticated("The Authorization header has no bearer token.", reason="not a bearer token")
        if bearer is None:
            return Unauthenticated(reason="no token has these characters, or so many")
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
            elif _SESSION_SECRET.fullmatch(token):
                outcome = await self._signed_in(token)
            else:
                verified = await self._verify(token)
                claims, now = verified.claims, time.time()
                until += min(now + REMEMBER_SECONDS, int(claims["exp"]) + LEEWAY_SECONDS) - (now + REMEMBER_SECONDS)
                try:
                    outcome = await self._viewer(verified)
                except Unauthenticated as refused:
                    outcome = refused
                # Only now: a reading during the look-up could not make this process forget what it does not remember
                # yet.
                if self._revocations.cover(_issued(claims, outcome)):
                    outcome = Unauthenticated(
                        "The token has been revoked.", reason=f"revoked, of {said(claims.get('sub'))}"
                    )
                if isinstance(outcome, Viewer) and outcome.role is not Role.CUSTOMER:
                    self.people_uses.note(outcome.role_and_id)
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

    async def _signed_in(self, secret: str) -> Viewer | Unauthenticated:
        """Returns the person of a session."""
        row = await self._fetch_row(_SIGNED_IN, hash=session.hash_of(secret), lasting=self._lasting)
        if row is None:
            return Unauthenticated("The session has ended.", reason="no such session, or its person has no access")
        signed_in = SignedIn(str(row["id"]), int(row["at"]))
        role, key = Role(row["role"]), str(row["person_id"])
        # The key of an admin looks like no subject of a token.
        person_id = f"{ADMIN.prefix}_{key}" if role is Role.ADMIN else key
        viewer = Viewer(role, person_id, row["name"], None, row["email"], self._zone, (), signed_in)
        if self._revocations.cover(_begun(viewer, signed_in)):
            return Unauthenticated("The session has ended.", reason="revoked")
        self.session_uses.note(signed_in.session_id)
        return viewer

    async def _verify(self, token: str) -> Verified:
        return await self._verifier.verify(token)

    async def _viewer(self, verified: Verified) -> Viewer:
        """Returns the viewer that the claims name. Raises `Unauthenticated` if there is none, or the claims are
        unusable."""
        claims, issuer = verified.claims, verified.issuer
        bearer = bearer_of(claims, verified.mapping)
        zone = self._zone_of(claims)
        if bearer.role not in _PEOPLE:
            # The subjects of two providers are different people.
            subject = bearer.subject if issuer is None else f"{issuer.name}:{bearer.subject}"
            return Viewer(bearer.role, subject, bearer.name or "", bearer.scope, bearer.email, zone, (bearer.subject,))
        if bearer.id is not None:
            key, name = await self._person(bearer.role, bearer.id)
            aliases: tuple[str, ...] = (bearer.subject,)
        else:
            known = await self._linked(verified, bearer)
            key, name, aliases = known.person_id, known.name, (bearer.subject, known.global_id)
        return Viewer(bearer.role, key, name, None, bearer.email, zone, aliases)

    async def person_of(self, verified: Verified) -> KnownPerson:
        """Returns the person in the database whom an ID token names, so that a session can begin. An admin is found by
        the address that the provider has verified. Raises `Unauthenticated` if there is nobody who has access, or if
        the token's role is not theirs, and `AuthenticationUnavailable`."""
        bearer = bearer_of(verified.claims, verified.mapping)
        if bearer.role is Role.SERVICE:
            raise Unauthenticated("Services do not sign in in a browser.", reason="the role is service")
        if bearer.role is Role.ADMIN:
            person = await self._admin(verified, bearer)
        elif bearer.id is not None:
            person = KnownPerson(bearer.role, *await self._person(bearer.role, bearer.id))
        else:
            known = await self._linked(verified, bearer)
            person = KnownPerson(bearer.role, known.person_id, known.name)
        names = [bearer.subject, person.subject]
        if verified.issuer is not None:
            names.append(f"{verified.issuer.name}:{bearer.subject}")
        if self._revocations.cover(_named(verified.claims, names)):
            raise Unauthenticated("The token has been revoked.", reason=f"revoked, of {said(bearer.subject)}")
        return person

    async def _admin(self, verified: Verified, bearer: Bearer) -> KnownPerson:
        who = f"the admin {said(bearer.subject)} of {said(verified.claims['iss'])}"
        if not verified.mapping.link_by_email:
            raise _nobody(f"{who} could be found by their address alone, and link_by_email is off")
        if bearer.verified_email is None:
            raise _nobody(f"{who} has no verified address")
        email = bearer.verified_email
        admin = await self._look_at(lambda: sign_in.admin_with(self._database, email))
        if admin is None:
            raise _nobody(f"no active admin has the address of {who}")
        return admin

    async def _person(self, role: Role, global_id: str) -> tuple[str, str]:
        """The key and the name of an active technician or customer whose id the token has. Raises `Unauthenticated` if
        there is none."""
        prefix, statement = _PEOPLE[role]
        found, _, key = global_id.partition("_")
        if found != prefix or not is_uuid(key):
            raise Unauthenticated(
                f"The token's subject is not the id of a {role.lower()}.",
                reason=f"the role is {role.lower()}, and the id {said(global_id)} is not {prefix}_…",
            )
        row = await self._fetch_row(statement, id=key)
        if row is None:
            raise _nobody(f"{said(global_id)} is unknown or inactive")
        return str(row["id"]), row["name"]

    async def _linked(self, verified: Verified, bearer: Bearer) -> identity.Known:
        """The person to whom the token's subject is linked. Raises `Unauthenticated` if there is none."""
        issuer = verified.claims["iss"]
        known = await self._look_at(lambda: identity.find(self._database, issuer, bearer.subject))
        if known is None:
            await self._link(verified, bearer)
            known = await self._look_at(lambda: identity.find(self._database, issuer, bearer.subject))
        who = f"subject {said(bearer.subject)} of {said(issuer)}"
        if known is None:
            raise _nobody(f"{who} is linked to nobody")
        if known.revoked:
            raise _nobody(f"the identity of {who}, {known.global_id}, is revoked")
        if known.role is not bearer.role:
            raise _nobody(f"{who} is linked to a {known.role.lower()}, and the role is {bearer.role.lower()}")
        if not known.active:
            raise _nobody(f"{who} is linked to a {known.role.lower()} who has no access any more")
        return known

    async def _link(self, verified: Verified, bearer: Bearer) -> None:
        """Links a subject that signs in for the first time, if its issuer is trusted with that. Raises
        `Unauthenticated` if it remains unknown."""
        issuer, mapping = verified.claims["iss"], verified.mapping
        who = f"subject {said(bearer.subject)} of {said(issuer)} is linked to nobody"
        if not mapping.link_by_email:
            raise _nobody(f"{who}, and link_by_email is off")
        email = bearer.verified_email
        if email is None:
            claims = f"{' or '.join(mapping.email)} with {' or '.join(mapping.email_verified)}"
            raise _nobody(f"{who}, and the token has no verified address: {claims}")
        request = CURRENT.get()
        client = None if request is None else request.client

        async def link() -> str | None:
            async with self._database.transaction() as transaction:
                return await identity.link_by_email(transaction, bearer.role, issuer, bearer.subject, email, client)

        why_not = await self._look_at(link)
        if why_not is not None:
            raise _nobody(f"{who}, and {why_not}")

    def _zone_of(self, claims: Mapping[str, Any]) -> str:
        """The zone that the token names, if there is such a one, or else the company's."""
        name = claims.get("zoneinfo")
        try:
            return zone_of(name).key if isinstance(name, str) else self._zone
        except ValueError:
            return self._zone

    async def _fetch_row(self, statement: Statement, **values: object) -> Any:
        return await self._look_at(lambda: statement.fetchrow(self._database, **values))

    async def _look_at(self, read: Callable[[], Awaitable[T]]) -> T:
        """Asks the database. Raises `AuthenticationUnavailable` if it does not answer."""
        try:
            async with asyncio.timeout(LOOKUP_SECONDS):
                return await read()
        except (*OUTAGE, Replaced) as error:
            raise AuthenticationUnavailable(reason=repr(error)) from None

    def _remember(self, authorization: str, outcome: Viewer | Unauthenticated, until: float) -> None:
        known = self._known
        known[authorization] = (outcome, until)
        known.move_to_end(authorization)
        while known and (len(known) > REMEMBERED_MAX or next(iter(known.values()))[1] < monotonic()):
            known.popitem(last=False)


def _issued(claims: Mapping[str, Any], viewer: Viewer | Unauthenticated) -> Issued:
    return _named(claims, (audit.subject(viewer), *viewer.aliases) if isinstance(viewer, Viewer) else ())


def _named(claims: Mapping[str, Any], names: Iterable[str]) -> Issued:
    """A token that revocations may name by these names. They are trimmed, as the subjects of revocations are."""
    return Issued(str(claims.get("sub", "")).strip(), int(claims["iat"]), tuple(map(str.strip, names)))


def _begun(viewer: Viewer, signed_in: SignedIn) -> Issued:
    return Issued(f"{SESSION.prefix}_{signed_in.session_id}", signed_in.at, (audit.subject(viewer),))


def _nobody(reason: str) -> Unauthenticated:
    """The client does not learn whether the person exists, was removed, or is somebody else's."""
    return Unauthenticated("The token's subject is not known here, or no longer.", reason=reason)
