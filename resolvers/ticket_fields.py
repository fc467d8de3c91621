"""How a ticket's computed fields and the root fields about tickets are read: the SQL of each."""

from __future__ import annotations

from sqlalchemy import FromClause, Text, case, cast, exists, func, literal_column, or_, select
from sqlalchemy.dialects.postgresql import JSON, UUID

from db import models
from db.compiler.selection import Bound, Render, Selection
from db.entities import TICKET, TICKETS
from db.enums import TicketEventKind
from db.ids import key_of
from db.limits import PROGRESS_MAX
from db.lists.filters import Parameters, Slots, only_one, storable
from db.sql import Condition, Expression, Row, json_rows, table
from db.ticket_totals import ticket_counts
from db.visibility import ViewerParameter
from resolvers.mutation import Input
from resolvers.ticket_rules import TRANSITIONS

_CHATS = table(models.TicketChatRow)


def has_chat(row: Row) -> Condition:
    """Whether a chatbot's conversation is kept with the ticket."""
    return exists().where(_CHATS.c.ticket_id == row.c.id)


def chat(row: Row, viewer: ViewerParameter) -> FromClause:
    """The conversation's messages in order: `author`, `body` and `at`, as text."""
    messages = select(_CHATS.c.messages).where(_CHATS.c.ticket_id == row.c.id).correlate(row).scalar_subquery()
    return json_rows(messages, author=Text, body=Text, at=Text)


def allowed_statuses(row: Row, viewer: ViewerParameter) -> Expression:
    """Where the viewer may take the ticket from its status, a JSON array: the table of transitions as a CASE."""
    nowhere: Expression = literal_column("'[]'::json")
    branches: list[tuple[Condition, Expression]] = [
        (row.c.status == status, literal_column("'[" + ",".join(f'"{target}"' for target in targets) + "]'::json"))
        for status, targets in TRANSITIONS[viewer.role].items()
    ]
    return case(*branches, else_=nowhere) if branches else nowhere


# ticket(by)


def read_ticket_by(arguments: Input) -> Bound:
    """The shape is the column, `id` or `reference`; the value is what it must be."""
    column, value = only_one(arguments["by"])
    return Bound(column, (key_of(value, "tkt", "ticket") if column == "id" else storable(value).strip().upper(),))


def ticket_by(render: Render, selection: Selection) -> tuple[Row, list[Condition]]:
    """The ticket with this id or reference, if the viewer sees it."""
    ticket = render.alias(TICKET.table)
    column = ticket.c[render.shape(selection)]
    return ticket, [column == render.parameter(selection, 0, column.type), TICKET.visible(ticket, render.viewer)]


# ticketCounts


def read_status_counts(arguments: Input) -> Bound:
    """The shape and the values of the filter."""
    slots = Slots()
    return Bound(TICKETS.criteria.read(arguments, slots), tuple(slots.values))


def status_counts(render: Render, selection: Selection) -> tuple[Row, list[Condition]]:
    """One row: how many tickets the viewer sees through the filter, in a column each `all`, of each status, and
    `unassigned`."""
    return ticket_counts(render.shape(selection), render.viewer, Parameters(render.parameters(selection))), []


# ticketTrack


def read_tracking(arguments: Input) -> Bound:
    """The values are the reference in upper case and the e-mail address in lower case."""
    reference = storable(arguments["reference"]).strip().upper()
    return Bound(None, (reference, storable(arguments["email"]).strip().lower()))


def tracked_ticket(render: Render, selection: Selection) -> tuple[Row, list[Condition]]:
    """The ticket with this reference, if the address is its contact's or its customer's; with the address as
    `tracked_by`. The viewer is a program that asks for somebody else, so it need not see the ticket."""
    ticket = render.alias(TICKET.table)
    customers = table(models.CustomerRow).alias()
    reference, email = (render.parameter(selection, slot, Text()) for slot in (0, 1))
    of_customer = exists().where(customers.c.id == ticket.c.customer_id, func.lower(customers.c.email) == email)
    known = or_(func.lower(ticket.c.contact_email) == email, of_customer)
    tracked = select(ticket, email.label("tracked_by")).where(ticket.c.reference == reference, known)
    return tracked.subquery(render.name()), []


_PROGRESS_KINDS = (
    TicketEventKind.CREATED,
    TicketEventKind.STATUS_CHANGED,
    TicketEventKind.RESOLVED,
    TicketEventKind.CLOSED,
    TicketEventKind.REOPENED,
    TicketEventKind.NOTE_ADDED,
)


def progress(row: Row, viewer: ViewerParameter) -> FromClause:
    """The latest public steps of a tracked ticket, oldest first: `kind`, `at`, `status`, `actor_kind` and `note`.

    They are the ones that the tracking address could have seen when they were taken: a ticket that has changed hands
    does not show its new owner what it was to the old one."""
    event, note, customers = (
        table(model).alias() for model in (models.TicketEventRow, models.NoteRow, models.CustomerRow)
    )
    contact = func.lower(event.c.after["contact_email"].astext) == row.c.tracked_by
    customer = exists().where(
        cast(customers.c.id, Text) == event.c.after["customer_id"].astext,
        func.lower(customers.c.email) == row.c.tracked_by,
    )
    kinds = [literal_column(f"'{kind}'", event.c.kind.type) for kind in _PROGRESS_KINDS]
    body = select(note.c.body).where(note.c.id == event.c.note_id, note.c.internal_only.is_(False))
    status = event.c.after["status"].astext.label("status")
    latest = (
        select(event.c.kind, event.c.at, status, event.c.actor_kind, body.scalar_subquery().label("note"))
        .where(event.c.ticket_id == row.c.id, event.c.public, event.c.kind.in_(kinds), or_(contact, customer))
        .order_by(event.c.at.desc())
        .limit(literal_column(str(PROGRESS_MAX)))
        .correlate(row)
        .subquery("latest")
    )
    return select(latest, latest.c.at.label("ord")).correlate(row).subquery("progress")


# ticketsBulkUpdate


def bulk_results(outcome: Row, viewer: ViewerParameter) -> FromClause:
    """What `bulk_update` has put into its outcome, in the order given: each ticket's global `id`, its key `ticket_id`
    (null if there is none that the viewer sees), and the objections, `errors`, a JSON array."""
    return json_rows(outcome.c.extra["results"], id=Text, ticket_id=UUID(as_uuid=False), errors=JSON)
