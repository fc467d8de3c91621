"""The entrance to the console: who may see which of its pages, signing out, and in development the demo company's
people, as whom one can look around.

In development whoever opens `/` is signed in at once as an admin. Only the computer that the server runs on gets that,
as with the IDE's token (`is_at_this_computer`): a page of another site, a proxy and a DNS name that has been pointed at
this computer do not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qs, quote

from sqlalchemy import func, literal_column, or_, select, union_all
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from callout.auth.authenticator import Authenticator
from callout.http import session_cookie
from callout.http.context import request_of
from callout.http.errors import AuthenticationUnavailable, Unauthenticated
from callout.http.guard import read_body
from callout.http.ide import is_at_this_computer
from callout.http.session_cookie import CrossSite, is_from_here, secret_in
from db.enums import Role, TicketStatus
from db.events.seal import Seal
from db.ids import new_id
from db.models import AdminRow, CustomerRow, TechnicianRow, TicketRow
from db.postgres.pool import OUTAGE, Database
from db.postgres.statement import Statement
from db.viewer import Viewer
from resolvers import session
from resolvers.mutation import Transaction
from resolvers.session import KnownPerson

WINGS: Final = {Role.ADMIN: "staff", Role.TECHNICIAN: "tech", Role.CUSTOMER: "portal"}
HOMES: Final = {"staff": "/", "tech": "/tech", "portal": "/portal"}
SIGN_IN: Final = "/sign-in"

DEMO_ADMIN: Final = ("Demo admin", "admin@demo.example")
_SHOWN: Final = 3
"""People of each role in the demo."""


class KnownBrowsers:
    """Browsers in which somebody has signed in, who is named by a sealed cookie. It gives no access: it only says that
    who asks for a link there is no stranger. All servers of one database, which its event log's identity stands for,
    seal alike."""

    _NAME: Final = "__Host-callout-known"
    _SECONDS: Final = 180 * 86_400

    def __init__(self, log_identity: str) -> None:
        self._seal = Seal("known browser 1", log_identity)

    def cookie(self, person: KnownPerson) -> str:
        """The value of `Set-Cookie`."""
        return session_cookie.cookie(self._seal.seal(person.subject), self._SECONDS, self._NAME)

    def subject(self, request: Request) -> str | None:
        """The subject of who has signed in last in the browser, signed in or not; None if nobody has."""
        sealed = session_cookie.value_in(request.scope["headers"], self._NAME.encode())
        return None if sealed is None else self._seal.open(sealed)


@dataclass(frozen=True, slots=True)
class Entrance:
    """One for each process. `demo` says whether people of the demo company can be chosen, as in development. `seconds`
    is how long a session lasts without use."""

    database: Database
    authenticator: Authenticator
    known: KnownBrowsers
    demo: bool
    seconds: int

    async def admit(self, request: Request, wing: str) -> Response | None:
        """The redirection of a person who has another wing, or none; None if the page of this wing is theirs. If the
        database is away, everybody is let in: a page has nothing of a person's, and says itself that it gets no
        data."""
        try:
            viewer = await self.viewer(request)
        except AuthenticationUnavailable:
            return None
        if viewer is None:
            return await self._stranger(request)
        home = HOMES[WINGS[viewer.role]]
        return None if HOMES[wing] == home else RedirectResponse(home, 303)

    async def viewer(self, request: Request) -> Viewer | None:
        """The person of the session's cookie, None without a valid one. Raises `AuthenticationUnavailable`."""
        secret = secret_in(request.scope["headers"])
        if secret is None:
            return None
        try:
            return await self.authenticator.authenticate(f"Bearer {secret}")
        except Unauthenticated:
            return None

    async def renew(self, request: Request, response: Response) -> None:
        """Gives a session whose secret is a day old another one, with this page."""
        secret = secret_in(request.scope["headers"])
        try:
            renewed = None if secret is None else await session.renew(self.database, secret)
        except OUTAGE:
            return
        if renewed is not None:
            self.set_cookie(response, renewed)

    async def sign_in(self, request: Request, person: KnownPerson, next_path: str) -> Response:
        """Signs the person in, in place of who is signed in already, and goes to the path. Raises the database's
        errors."""
        async with self.database.transaction() as transaction:
            secret = await self.begin_session(transaction, request, person)
        return self.enter(secret, person, next_path)

    async def begin_session(self, transaction: Transaction, request: Request, person: KnownPerson) -> str:
        """Begins a session of the person, in place of that of who is signed in already, and returns its secret."""
        user_agent, client = request.headers.get("user-agent", ""), request_of(request.scope).client
        before = secret_in(request.scope["headers"])
        if before is not None:
            await session.end(transaction, before, client)
        return await session.begin(transaction, person, user_agent, client)

    def enter(self, secret: str, person: KnownPerson, next_path: str) -> Response:
        """Gives the browser the session with this secret, and goes to the path."""
        response = RedirectResponse(next_path, 303)
        self.set_cookie(response, secret)
        response.headers.append("set-cookie", self.known.cookie(person))
        return response

    def set_cookie(self, response: Response, secret: str) -> None:
        response.headers.append("set-cookie", session_cookie.cookie(secret, self.seconds))

    async def _stranger(self, request: Request) -> Response:
        path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        if self.demo and request.url.path == "/" and is_at_this_computer(request.scope):
            return await self.sign_in(request, await self._demo_admin(), path)
        return RedirectResponse(f"{SIGN_IN}?next={quote(path)}", 303)

    async def _demo_admin(self) -> KnownPerson:
        """The first of the admins, who is made if there is none."""
        async with self.database.transaction() as transaction:
            await transaction.execute(
                "INSERT INTO admins (id, name, email) SELECT $1, $2, $3"
                " WHERE NOT EXISTS (SELECT FROM admins WHERE active) ON CONFLICT DO NOTHING",
                new_id(),
                *DEMO_ADMIN,
            )
            (row,) = await transaction.fetch("SELECT id, name FROM admins WHERE active ORDER BY created_at, id LIMIT 1")
        return KnownPerson(Role.ADMIN, str(row["id"]), row["name"])

    # The demo

    async def people(self) -> list[dict[str, Any]]:
        """Some people of each role, those with the most open tickets first."""
        rows = await _PEOPLE.fetch(self.database)
        return [
            {"role": row["role"], "id": f"{_PREFIXES[row['role']]}_{row['id']}", "name": row["name"]} for row in rows
        ]

    async def person(self, global_id: str) -> KnownPerson | None:
        for row in await self.people():
            if row["id"] == global_id:
                return KnownPerson(Role(row["role"]), global_id.partition("_")[2], row["name"])
        return None


UNFINISHED: Final = (TicketStatus.OPEN, TicketStatus.IN_PROGRESS)
_PREFIXES: Final = {"ADMIN": "adm", "TECHNICIAN": "tec", "CUSTOMER": "cus"}


def _some(role: Role, person: Any, reference: Any, has_access: Any) -> Any:
    """Those with access, admins in the order in which they were created, others by their open tickets."""
    open_tickets = (
        select(func.count())
        .where(reference == person.id, or_(*(TicketRow.status == each for each in UNFINISHED)))
        .scalar_subquery()
    )
    order = person.created_at.asc() if role is Role.ADMIN else open_tickets.desc()
    found = select(literal_column(f"'{role}'").label("role"), person.id, person.name)
    return found.where(has_access).order_by(order, person.id).limit(_SHOWN).subquery()


_PEOPLE: Final = Statement(
    union_all(
        *(
            select(found.c.role, found.c.id, found.c.name)
            for found in (
                _some(Role.ADMIN, AdminRow, None, AdminRow.active),
                _some(Role.TECHNICIAN, TechnicianRow, TicketRow.technician_id, TechnicianRow.active),
                _some(Role.CUSTOMER, CustomerRow, TicketRow.customer_id, CustomerRow.erased_at.is_(None)),
            )
        )
    )
)


async def sign_out(request: Request) -> Response:
    """Ends the session."""
    if not is_from_here(dict(request.scope["headers"])):
        raise CrossSite
    entrance: Entrance = request.state.entrance
    secret = secret_in(request.scope["headers"])
    if secret is not None:
        async with entrance.database.transaction() as transaction:
            await session.end(transaction, secret, request_of(request.scope).client)
    response = RedirectResponse(SIGN_IN, 303)
    response.headers.append("set-cookie", session_cookie.cookie("", 0))
    return response


async def demo_people(request: Request) -> Response:
    return JSONResponse({"people": await _demo(request).people()})


async def demo_sign_in(request: Request) -> Response:
    entrance = _demo(request)
    body = await read_body(request.scope, request.receive)
    person = await entrance.person(next(iter(parse_qs(body.decode("latin-1")).get("id", [])), ""))
    if person is None:
        raise HTTPException(404)
    return await entrance.sign_in(request, person, HOMES[WINGS[person.role]])


def _demo(request: Request) -> Entrance:
    """The entrance of a server in development, for this computer. Raises `HTTPException` elsewhere, and `CrossSite`."""
    entrance: Entrance = request.state.entrance
    headers = dict(request.scope["headers"])
    if not is_from_here(headers):
        raise CrossSite
    # A browser adds its own origin to the form; the check before has found it to be this server's.
    without_origin = [(name, value) for name, value in request.scope["headers"] if name != b"origin"]
    if not entrance.demo or not is_at_this_computer({**request.scope, "headers": without_origin}):
        raise HTTPException(404)
    return entrance


ROUTES: Final = [
    Route("/sign-out", sign_out, methods=["POST"]),
    Route("/demo", demo_people),
    Route("/demo/sign-in", demo_sign_in, methods=["POST"]),
]
