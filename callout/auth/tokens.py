"""Tokens for use in a terminal: those of `callout token`, and those that a development server prints."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
from sqlalchemy import Select, bindparam, func, select, true
from sqlalchemy.dialects.postgresql import UUID

from callout.auth.authenticator import mint
from callout.settings import Settings
from db.enums import AuditAction, AuditObjectKind, Role, ServiceScope
from db.errors import BadInput, Failure
from db.ids import key_of
from db.limits import OBJECT_ID_MAX
from db.models import CustomerRow, TechnicianRow, TicketRow
from db.postgres.pool import OUTAGE
from db.postgres.statement import Queryable, Statement
from resolvers import audit

GREETING_SECONDS = 7 * 24 * 3600
IDE_SECONDS = 24 * 3600

# The roles whose viewers are in the database: the prefix and the kind of their ids, and the query that lists them.
PEOPLE = {
    Role.TECHNICIAN: ("tec", "technician", select(TechnicianRow.id, TechnicianRow.name, TechnicianRow.active)),
    Role.CUSTOMER: ("cus", "customer", select(CustomerRow.id, CustomerRow.name, true().label("active"))),
}
COLUMNS = {
    Role.TECHNICIAN: (TechnicianRow.id, TechnicianRow.email, TicketRow.technician_id),
    Role.CUSTOMER: (CustomerRow.id, CustomerRow.email, TicketRow.customer_id),
}
OTHERS = {Role.ADMIN: "Demo admin", Role.SERVICE: "Demo chatbot"}


class UnknownSubject(Failure):
    """The subject does not exist, or is an inactive technician. The message names the subject."""


@dataclass(frozen=True, slots=True)
class Credential:
    """A token with its viewer's role and name."""

    role: Role
    name: str
    token: str


async def issue(settings: Settings, url: str, *, role: Role, subject: str, ttl: int) -> Credential:
    """Returns a token, valid for `ttl` seconds, for a technician or customer; `subject` is a global id or an e-mail
    address. Raises `UnknownSubject` if there is no such person, or if the technician is inactive and the token would
    be refused."""
    prefix, kind, people = PEOPLE[role]
    key, email, _ = COLUMNS[role]
    if "@" in subject:
        statement = people.where(func.lower(email) == func.lower(bindparam("subject")))
        value = subject.strip()
    else:
        statement = people.where(key == bindparam("subject", type_=UUID(as_uuid=False)))
        try:
            value = key_of(subject.strip(), prefix, kind)
        except BadInput as error:
            raise UnknownSubject(f"{error.message} Use an id ({prefix}_…) or an e-mail address.") from None
    connection = await asyncpg.connect(url)
    try:
        person = await Statement(statement).fetchrow(connection, subject=value)
        if person is None:
            raise UnknownSubject(f"There is no {kind} {subject}.")
        if not person["active"]:
            raise UnknownSubject(f"{person['name']} is inactive: Callout would refuse the token.")
        return await _issue(settings, connection, role, f"{prefix}_{person['id']}", person["name"], ttl)
    finally:
        await connection.close()


async def issue_named(
    settings: Settings, url: str, *, role: Role, subject: str, name: str, ttl: int, scope: ServiceScope | None
) -> Credential:
    """Returns a token, valid for `ttl` seconds, for an admin or a service of any subject and name, and for a service
    with this scope."""
    connection = await asyncpg.connect(url)
    try:
        return await _issue(settings, connection, role, subject, name, ttl, scope)
    finally:
        await connection.close()


async def _issue(
    settings: Settings,
    connection: Queryable,
    role: Role,
    subject: str,
    name: str,
    ttl: int,
    scope: ServiceScope | None = None,
) -> Credential:
    """Returns the token once the audit trail has its entry."""
    expires_at = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=ttl)
    issued = {"role": role, "name": name, "scope": scope, "expires_at": expires_at}
    author, action, kind = audit.Author.operator(), AuditAction.CREATED, AuditObjectKind.TOKEN
    await audit.record_by(connection, author, action, kind, subject[:OBJECT_ID_MAX], None, issued)
    return Credential(role, name, mint(settings, role=role, subject=subject, name=name, ttl=ttl, scope=scope))


class IdeToken:
    """The token of a demo admin, for the IDE of a development server. It is issued when it is first asked for, and anew
    when half of its time has passed."""

    def __init__(self, settings: Settings, database: Queryable) -> None:
        self._settings = settings
        self._database = database
        self._token = ""
        self._renewed_at = 0.0

    async def __call__(self) -> str | None:
        """Returns the token; None if no secret is configured to sign with, or the database is unavailable."""
        if self._settings.jwt_secret is None:
            return None
        if self._renewed_at < time.time():
            role, ttl = Role.ADMIN, min(IDE_SECONDS, int(self._settings.jwt_lifetime.total_seconds()))
            try:
                issued = await _issue(self._settings, self._database, role, "demo-admin", OTHERS[role], ttl)
            except OUTAGE:
                return None
            self._token, self._renewed_at = issued.token, time.time() + ttl / 2
        return self._token


async def greeting(settings: Settings, connection: asyncpg.Connection) -> list[Credential]:
    """Returns a token for each role, valid for `GREETING_SECONDS` or for as long as a token may be: of the technician
    and the customer with the most tickets, and of a demo admin and chatbot. Returns none if no secret is configured to
    sign with."""
    if settings.jwt_secret is None:
        return []
    credentials = []
    ttl = min(GREETING_SECONDS, int(settings.jwt_lifetime.total_seconds()))
    for role in Role:
        if role in OTHERS:
            scope = ServiceScope.CHATBOT if role is Role.SERVICE else None
            subject, name = f"demo-{role.lower()}", OTHERS[role]
            credentials.append(await _issue(settings, connection, role, subject, name, ttl, scope))
        elif (person := await Statement(_busiest(role)).fetchrow(connection)) is not None:
            subject = f"{PEOPLE[role][0]}_{person['id']}"
            credentials.append(await _issue(settings, connection, role, subject, person["name"], ttl))
    return credentials


def _busiest(role: Role) -> Select[*tuple[Any, ...]]:
    key, _, reference = COLUMNS[role]
    tickets = select(func.count()).where(reference == key).scalar_subquery()
    people = PEOPLE[role][2]
    return people.where(people.selected_columns.active).order_by(tickets.desc(), key).limit(1)
