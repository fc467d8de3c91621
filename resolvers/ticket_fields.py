"""The SQL of a ticket's computed fields and of the root fields about tickets."""

from __future__ import annotations

from sqlalchemy import (
    DateTime,
    FromClause,
    Text,
    and_,
    case,
    cast,
    column,
    exists,
    func,
    literal,
    literal_column,
    not_,
    null,
    or_,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import JSON, TSQUERY, UUID, array

from db import models
from db.compiler.selection import Bound
from db.compiler.snippets import OWN, Draft
from db.entities import TICKET, TICKETS
from db.enums import ActorKind, Role, TextPart, TicketEventKind
from db.ids import key_of
from db.limits import EXCERPT_WORDS, PROGRESS_MAX
from db.lists.criteria import Parameters, Slots, only_one, storable
from db.lists.texts import TERM, queries_of
from db.planner import fence, number
from db.sql import EMPTY, Condition, Expression, Row, json_rows, table
from db.ticket_totals import ticket_counts
from db.visibility import ViewerParameter, readable_text
from resolvers import guesses
from resolvers.grace import in_grace
from resolvers.mutation import Input
from resolvers.ticket_rules import IN_GRACE, TRANSITIONS

_CHATS = table(models.TicketChatRow)


def has_chat(row: Row) -> Condition:
    """Whether the ticket has a transcript."""
    return exists().where(_CHATS.c.ticket_id == row.c.id)


def chat(row: Row, viewer: ViewerParameter) -> FromClause:
    """The transcript's messages in order: `author`, `body` and `at`, as text."""
    messages = select(_CHATS.c.messages).where(_CHATS.c.ticket_id == row.c.id).correlate(row).scalar_subquery()
    return json_rows(messages, author=Text, body=Text, at=DateTime(timezone=True))


def is_searched(row: Row) -> Condition:
    """Whether the row is from a list of tickets that have the words of a text, and so has that text."""
    return literal(TERM in row.c)


def excerpt(row: Row, viewer: ViewerParameter) -> FromClause:
    """The passage of the ticket's texts that has the most words of the text that is searched for, in pieces: `text`,
    and `matched` for such a word. It is from the text with the most of them, among those that the viewer may read."""
    term = row.c[TERM] if TERM in row.c else cast(null(), Text)
    # Fenced, so that the queries are made once.
    asked = fence(select(queries_of(term).label("queries"))).correlate(row).subquery("asked")
    texts = table(models.TicketTextRow).alias()
    word = func.unnest(asked.c.queries).table_valued(column("query", TSQUERY)).render_derived()
    words = select(func.count()).select_from(word).where(texts.c.words.op("@@")(word.c.query))
    number_of_words = words.correlate(texts, asked).scalar_subquery()
    parts = array([literal_column(f"'{part}'", Text()) for part in TextPart])
    best = (
        select(func.ticket_text(texts.c.text_id, texts.c.part))
        .where(texts.c.ticket_id == row.c.id, readable_text(texts, viewer), number_of_words > number(0))
        .order_by(number_of_words.desc(), func.array_position(parts, texts.c.part), texts.c.text_id)
        .limit(number(1))
        .correlate(row, asked)
        .scalar_subquery()
    )
    pieces = func.text_excerpt(best, asked.c.queries, number(EXCERPT_WORDS)).table_valued("text", "matched", "ord")
    found = pieces.lateral("pieces")
    return select(found.c.text, found.c.matched, found.c.ord).select_from(asked.join(found, true())).subquery("excerpt")


def allowed_statuses(row: Row, viewer: ViewerParameter) -> Expression:
    """The statuses that the viewer may change the ticket to, a JSON array: the table of transitions as a CASE."""
    conditions = [(row.c.status == status, targets) for status, targets in TRANSITIONS[viewer.role].items()]
    if viewer.role in IN_GRACE:
        conditions.append((in_grace(row), IN_GRACE[viewer.role]))
    branches: list[tuple[Condition, Expression]] = [
        (condition, literal_column("'[" + ",".join(f'"{target}"' for target in targets) + "]'::json"))
        for condition, targets in conditions
    ]
    return case(*branches, else_=EMPTY) if branches else EMPTY


# ticket(by)


def read_ticket_by(arguments: Input) -> Bound:
    """The argument shape is the column, `id` or `reference`; the only value is the one to find in it."""
    column, value = only_one(arguments["by"])
    return Bound(column, (key_of(value, "tkt", "ticket") if column == "id" else storable(value).strip().upper(),))


def ticket_by(draft: Draft) -> tuple[Row, list[Condition]]:
    """The ticket with this id or reference, if the viewer sees it."""
    ticket = draft.own_alias(TICKET.table)
    column = ticket.c[draft.shape]
    return ticket, [column == draft.parameter(0, column.type), TICKET.visible(ticket, draft.viewer)]


# ticketCounts


def read_status_counts(arguments: Input) -> Bound:
    """The argument shape and the values of the filter."""
    return _read_filter(arguments, Slots())


def read_live_status_counts(arguments: Input) -> Bound:
    """The same for a subscription."""
    return _read_filter(arguments, Slots(live=True))


def _read_filter(arguments: Input, slots: Slots) -> Bound:
    shape = TICKETS.criteria.read(arguments, slots)
    return Bound(shape, tuple(slots.values), conditions=slots.criteria)


def status_counts(draft: Draft) -> tuple[Row, list[Condition]]:
    """One row of counts of the tickets that match the filter and that the viewer sees: `all`, one column for each
    status, and `unassigned`."""
    return ticket_counts(draft.shape, draft.viewer, Parameters(draft.parameter)), []


# ticketTrack


def read_tracking(arguments: Input) -> Bound:
    """The values are the reference in upper case, the e-mail address in lower case, and the subjects of both."""
    reference = storable(arguments["reference"]).strip().upper()
    email = storable(arguments["email"]).strip().lower()
    return Bound(None, (reference, email, *guesses.subjects(reference, email)))


def tracked_ticket(draft: Draft) -> tuple[Row, list[Condition]]:
    """The ticket with this reference, if the address is its contact's or its customer's, with the address as
    `tracked_by`; none while guesses are refused. The viewer is a service that asks on a customer's behalf, so it need
    not see the ticket.

    The customer of a service's ticket may have been found by a guessed account number, so only its contact counts."""
    ticket = draft.alias(TICKET.table)
    customers = table(models.CustomerRow).alias()
    reference, email, *subjects = (draft.parameter(slot, Text()) for slot in range(4))
    of_customer = exists().where(customers.c.id == ticket.c.customer_id, func.lower(customers.c.email) == email)
    known = or_(func.lower(ticket.c.contact_email) == email, and_(_not_by_service(ticket), of_customer))
    tracked = select(ticket, email.label("tracked_by")).where(ticket.c.reference == reference, known)
    if draft.viewer.role is not Role.ADMIN:  # admins see all tickets
        tracked = tracked.where(not_(guesses.refused(draft.viewer.id, *subjects)))
    return tracked.subquery(OWN), []


def _not_by_service(ticket: Row) -> Condition:
    by_service: Expression = literal_column(f"'{ActorKind.SERVICE}'")
    return ticket.c.creator_kind != by_service


_PROGRESS_KINDS = (
    TicketEventKind.CREATED,
    TicketEventKind.STATUS_CHANGED,
    TicketEventKind.RESOLVED,
    TicketEventKind.CLOSED,
    TicketEventKind.REOPENED,
    TicketEventKind.NOTE_ADDED,
)


def progress(row: Row, viewer: ViewerParameter) -> FromClause:
    """The latest public events of a tracked ticket, oldest first: `kind`, `at`, `status`, `actor_kind` and `note`.

    Only events from a time when the address already belonged to the ticket: if the ticket has changed its customer, the
    new one does not see the events of the old one."""
    event, note, customers = (
        table(model).alias() for model in (models.TicketEventRow, models.NoteRow, models.CustomerRow)
    )
    contact = func.lower(event.c.after["contact_email"].astext) == row.c.tracked_by
    customer = and_(
        _not_by_service(row),
        exists()
        .where(
            cast(customers.c.id, Text) == event.c.after["customer_id"].astext,
            func.lower(customers.c.email) == row.c.tracked_by,
        )
        .correlate_except(customers),
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
    """The results in the outcome of `bulk_update`, in the order of the input: each ticket's global `id`, its key
    `ticket_id` (null if the viewer sees no such ticket), and its `errors`, a JSON array."""
    return json_rows(outcome.c.extra["results"], id=Text, ticket_id=UUID(as_uuid=False), errors=JSON)
