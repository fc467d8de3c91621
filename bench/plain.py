"""Plain Strawberry: the same API written as Strawberry's documentation teaches, with SQLAlchemy's ORM and DataLoaders.

Each type holds its scalar fields, made from a row; its relations are resolvers that use a DataLoader, so that a request
takes about one statement for each level and type in its document. There is no authentication.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Self, TypeAlias, TypeVar

import strawberry
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.websockets import WebSocket
from strawberry.asgi import GraphQL
from strawberry.dataloader import DataLoader

from db import models
from db.enums import ActorKind, Role, TicketCategory, TicketEventKind, TicketPriority, TicketSource, TicketStatus
from resolvers.ticket_rules import TRANSITIONS

engine = create_async_engine(
    os.environ["BENCH_DATABASE_URL"].replace("postgresql://", "postgresql+asyncpg://", 1),
    pool_size=10,
    max_overflow=0,  # as many connections as the other servers have, and none that is opened for a single request
    connect_args={"server_settings": {"timezone": "UTC", "jit": "off"}},
)
sessions = async_sessionmaker(engine, expire_on_commit=False)

M = TypeVar("M", models.CustomerRow, models.PropertyRow, models.TechnicianRow, models.TicketChatRow, models.ArticleRow)
Page: TypeAlias = tuple[str, int]  # the parent's key, and the number of rows

for enum in (ActorKind, TicketCategory, TicketPriority, TicketSource, TicketStatus):
    strawberry.enum(enum)


# Loading: one statement for everything that the requested objects refer to


def one_each(model: type[M], key: Any) -> DataLoader[str, M | None]:
    async def load(keys: list[str]) -> Sequence[M | None]:
        async with sessions() as session:
            rows = await session.scalars(select(model).where(key.in_(keys)))
            found = {getattr(row, key.key): row for row in rows}
        return [found.get(wanted) for wanted in keys]

    return DataLoader(load)


async def load_notes(pages: list[Page]) -> list[list[models.NoteRow]]:
    return await load_pages(
        pages, models.NoteRow, models.NoteRow.ticket_id, (models.NoteRow.created_at, models.NoteRow.id)
    )


async def load_tickets(pages: list[Page]) -> list[list[models.TicketRow]]:
    newest = (models.TicketRow.created_at.desc(), models.TicketRow.id.desc())
    return await load_pages(pages, models.TicketRow, models.TicketRow.technician_id, newest)


async def load_pages(pages: list[Page], model: Any, key: Any, order: tuple[Any, ...]) -> list[list[Any]]:
    """The first rows of each parent, found by a window function over the rows of all of them."""
    rank = func.row_number().over(partition_by=key, order_by=order).label("rank")
    ranked = select(model.id, rank).where(key.in_({parent for parent, _ in pages})).subquery()
    most = max(first for _, first in pages)
    query = select(model).join(ranked, ranked.c.id == model.id).where(ranked.c.rank <= most).order_by(ranked.c.rank)
    found: dict[str, list[Any]] = {}
    async with sessions() as session:
        for row in await session.scalars(query):
            found.setdefault(getattr(row, key.key), []).append(row)
    return [found.get(parent, [])[:first] for parent, first in pages]


async def count_notes(keys: list[str]) -> list[int]:
    ticket_id = models.NoteRow.ticket_id
    async with sessions() as session:
        rows = await session.execute(select(ticket_id, func.count()).where(ticket_id.in_(keys)).group_by(ticket_id))
        found: dict[Any, int] = dict(rows.tuples().all())
    return [found.get(key, 0) for key in keys]


class Loaders:
    """The DataLoaders of one request, so that no request gets what another one has cached."""

    def __init__(self) -> None:
        self.customer = one_each(models.CustomerRow, models.CustomerRow.id)
        self.property = one_each(models.PropertyRow, models.PropertyRow.id)
        self.technician = one_each(models.TechnicianRow, models.TechnicianRow.id)
        self.chat = one_each(models.TicketChatRow, models.TicketChatRow.ticket_id)
        self.article = one_each(models.ArticleRow, models.ArticleRow.source_ticket_id)
        self.notes = DataLoader(load_notes)
        self.note_count = DataLoader(count_notes)
        self.tickets = DataLoader(load_tickets)


Info: TypeAlias = strawberry.Info[Loaders, None]


# Types


@strawberry.type
class Contact:
    name: str
    email: str
    phone: str | None


@strawberry.type
class Customer:
    id: strawberry.ID
    account_number: str
    name: str
    email: str
    phone: str | None

    @classmethod
    def of(cls, row: models.CustomerRow) -> Self:
        return cls(
            id=strawberry.ID(f"cus_{row.id}"),
            account_number=row.account_number,
            name=row.name,
            email=row.email,
            phone=row.phone,
        )


@strawberry.type
class Property:
    id: strawberry.ID
    address: str
    account_number: str

    @classmethod
    def of(cls, row: models.PropertyRow) -> Self:
        return cls(id=strawberry.ID(f"prp_{row.id}"), address=row.address, account_number=row.account_number)


@strawberry.type
class Actor:
    kind: ActorKind
    name: str


@strawberry.type
class Note:
    id: strawberry.ID
    body: str
    internal_only: bool
    author: Actor
    created_at: datetime

    @classmethod
    def of(cls, row: models.NoteRow) -> Self:
        return cls(
            id=strawberry.ID(f"not_{row.id}"),
            body=row.body,
            internal_only=row.internal_only,
            author=Actor(kind=row.author_kind, name=row.author_name),
            created_at=row.created_at,
        )


@strawberry.type
class NoteConnection:
    ticket_id: strawberry.Private[str]
    first: strawberry.Private[int]

    @strawberry.field
    async def total_count(self, info: Info) -> int:
        return await info.context.note_count.load(self.ticket_id)

    @strawberry.field
    async def nodes(self, info: Info) -> list[Note]:
        return [Note.of(row) for row in await info.context.notes.load((self.ticket_id, self.first))]


@strawberry.type
class ChatMessage:
    author: str
    body: str
    at: str


@strawberry.type
class Article:
    id: strawberry.ID
    problem: str
    solution: str
    published: bool


@strawberry.type
class Ticket:
    key: strawberry.Private[str]
    customer_id: strawberry.Private[Any]
    property_id: strawberry.Private[Any]
    technician_id: strawberry.Private[Any]
    id: strawberry.ID
    reference: str
    version: int
    subject: str
    description: str
    status: TicketStatus
    priority: TicketPriority
    category: TicketCategory
    source: TicketSource
    resolution: str | None
    contact: Contact
    created_at: datetime
    updated_at: datetime
    resolved_at: datetime | None
    closed_at: datetime | None

    @classmethod
    def of(cls, row: models.TicketRow) -> Self:
        return cls(
            key=str(row.id),
            customer_id=row.customer_id,
            property_id=row.property_id,
            technician_id=row.technician_id,
            id=strawberry.ID(f"tkt_{row.id}"),
            reference=row.reference,
            version=row.version,
            subject=row.subject,
            description=row.description,
            status=row.status,
            priority=row.priority,
            category=row.category,
            source=row.source,
            resolution=row.resolution,
            contact=Contact(name=row.contact_name, email=row.contact_email, phone=row.contact_phone),
            created_at=row.created_at,
            updated_at=row.updated_at,
            resolved_at=row.resolved_at,
            closed_at=row.closed_at,
        )

    @strawberry.field
    async def customer(self, info: Info) -> Customer | None:
        row = await info.context.customer.load(self.customer_id) if self.customer_id else None
        return Customer.of(row) if row else None

    @strawberry.field
    async def property(self, info: Info) -> Property | None:
        row = await info.context.property.load(self.property_id) if self.property_id else None
        return Property.of(row) if row else None

    @strawberry.field
    async def technician(self, info: Info) -> Technician | None:
        row = await info.context.technician.load(self.technician_id) if self.technician_id else None
        return Technician.of(row) if row else None

    @strawberry.field
    async def chat(self, info: Info) -> list[ChatMessage] | None:
        row = await info.context.chat.load(self.key)
        return [ChatMessage(**message) for message in row.messages] if row else None

    @strawberry.field
    async def article(self, info: Info) -> Article | None:
        row = await info.context.article.load(self.key)
        if row is None:
            return None
        article_id = strawberry.ID(f"art_{row.id}")
        return Article(id=article_id, problem=row.problem, solution=row.solution, published=row.published)

    @strawberry.field
    def allowed_statuses(self) -> list[TicketStatus]:
        return list(TRANSITIONS[Role.ADMIN][self.status])

    @strawberry.field
    def notes(self, first: int = 20) -> NoteConnection:
        return NoteConnection(ticket_id=self.key, first=first)


@strawberry.type
class PageInfo:
    has_next_page: bool


@strawberry.type
class TicketConnection:
    nodes: list[Ticket]
    conditions: strawberry.Private[list[Any]]
    page_info: PageInfo | None = None

    @strawberry.field
    async def total_count(self) -> int:
        async with sessions() as session:
            query = select(func.count()).select_from(models.TicketRow).where(*self.conditions)
            return await session.scalar(query) or 0


@strawberry.type
class Technician:
    key: strawberry.Private[str]
    id: strawberry.ID
    name: str
    email: str
    phone: str | None
    active: bool

    @classmethod
    def of(cls, row: models.TechnicianRow) -> Self:
        return cls(
            key=str(row.id),
            id=strawberry.ID(f"tec_{row.id}"),
            name=row.name,
            email=row.email,
            phone=row.phone,
            active=row.active,
        )

    @strawberry.field
    async def tickets(self, info: Info, first: int = 20) -> TicketConnection:
        rows = await info.context.tickets.load((self.key, first))
        assigned = [models.TicketRow.technician_id == self.key]
        return TicketConnection(nodes=[Ticket.of(row) for row in rows], conditions=assigned)


@strawberry.type
class TechnicianConnection:
    nodes: list[Technician]


# Operations


@strawberry.input
class AssigneeFilter:
    technician_id: strawberry.ID


@strawberry.input
class TicketFilter:
    status: list[TicketStatus] | None = None
    priority: list[TicketPriority] | None = None
    assignee: AssigneeFilter | None = None


@strawberry.input
class TicketBy:
    id: strawberry.ID


@strawberry.type
class Query:
    @strawberry.field
    async def tickets(self, filter: TicketFilter | None = None, first: int = 20) -> TicketConnection:
        wanted: list[Any] = []
        if filter and filter.status is not None:
            wanted.append(models.TicketRow.status.in_(filter.status))
        if filter and filter.priority is not None:
            wanted.append(models.TicketRow.priority.in_(filter.priority))
        if filter and filter.assignee is not None:
            wanted.append(models.TicketRow.technician_id == filter.assignee.technician_id.removeprefix("tec_"))
        newest = models.TicketRow.created_at.desc(), models.TicketRow.id.desc()
        async with sessions() as session:
            query = select(models.TicketRow).where(*wanted).order_by(*newest).limit(first + 1)
            rows = (await session.scalars(query)).all()
        nodes = [Ticket.of(row) for row in rows[:first]]
        return TicketConnection(nodes=nodes, conditions=wanted, page_info=PageInfo(has_next_page=len(rows) > first))

    @strawberry.field
    async def ticket(self, by: TicketBy) -> Ticket | None:
        async with sessions() as session:
            row = await session.get(models.TicketRow, by.id.removeprefix("tkt_"))
        return Ticket.of(row) if row else None

    @strawberry.field
    async def technicians(self, first: int = 20) -> TechnicianConnection:
        by_name = models.TechnicianRow.name, models.TechnicianRow.id
        async with sessions() as session:
            rows = await session.scalars(select(models.TechnicianRow).order_by(*by_name).limit(first))
        return TechnicianConnection(nodes=[Technician.of(row) for row in rows])


@strawberry.input
class TicketSetStatusInput:
    ticket_id: strawberry.ID
    status: TicketStatus


@strawberry.type
class UserError:
    code: str
    field: list[str]
    message: str


@strawberry.type
class TicketSetStatusPayload:
    ticket: Ticket | None
    user_errors: list[UserError]


@strawberry.type
class Mutation:
    @strawberry.mutation
    async def ticket_set_status(self, input: TicketSetStatusInput) -> TicketSetStatusPayload:
        key = input.ticket_id.removeprefix("tkt_")
        async with sessions.begin() as session:
            ticket = await session.get(models.TicketRow, key, with_for_update=True)
            if ticket is None:
                error = UserError(code="NOT_FOUND", field=["ticketId"], message="The ticket does not exist.")
                return TicketSetStatusPayload(ticket=None, user_errors=[error])
            before = image(ticket)
            ticket.status = input.status
            ticket.version += 1
            ticket.updated_at = ticket.public_updated_at = datetime.now(UTC)
            event = models.TicketEventRow(
                ticket_id=ticket.id,
                kind=TicketEventKind.STATUS_CHANGED,
                actor_kind=ActorKind.ADMIN,
                actor_id="bench",
                actor_name="Bench",
                at=ticket.updated_at,
                before=before,
                after=image(ticket),
            )
            session.add(event)
        return TicketSetStatusPayload(ticket=Ticket.of(ticket), user_errors=[])


def image(ticket: models.TicketRow) -> dict[str, Any]:
    values = {column.name: getattr(ticket, column.name) for column in models.TicketRow.__table__.columns}
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in values.items()}


# Serving


class GraphQLApp(GraphQL[Loaders, None]):
    async def get_context(self, request: Request | WebSocket, response: Response | WebSocket) -> Loaders:
        return Loaders()


app = Starlette(routes=[Route("/graphql", GraphQLApp(strawberry.Schema(Query, Mutation), graphql_ide=None))])
