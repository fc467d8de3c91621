"""Mail in: taking a message, and what became of those that were taken, which is for admins alone."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import strawberry

from db.entities import INBOUND_MESSAGE, INBOUND_MESSAGES, NOTE, TICKET
from db.enums import ADMINS, InboundOutcome, Role
from resolvers import inbound
from schema.common import Connection, Edge, Payload
from schema.fields import argument, column, connection, given, global_id, mutation, one, optional, outcome_extra, part

if TYPE_CHECKING:
    from schema.note import Note
    from schema.ticket import Ticket


@strawberry.type(description="A message that came in by mail, and what became of it.")
class InboundMessage:
    id: strawberry.ID = global_id(INBOUND_MESSAGE)
    received_at: datetime = column("received_at", "When it was taken.")
    outcome: InboundOutcome = column("outcome", "What became of it.")
    reason: str | None = column("reason", "Why it was ignored or kept aside.")
    message_id: str | None = column("message_id", "Its Message-ID, if it has one that can be used.")
    from_address: str | None = column("from_address", "The address that it says it is from.")
    from_name: str | None = column("from_name", "The name that it says it is from.")
    subject: str | None = column("subject", "Its subject, on one line of up to 200 characters.")
    size: int = column("size", "How many bytes it has.")
    ticket: Annotated[Ticket, strawberry.lazy("schema.ticket")] | None = one(
        TICKET, "ticket_id", "The ticket that it became or answered."
    )
    note: Annotated[Note, strawberry.lazy("schema.note")] | None = one(NOTE, "note_id", "The note that it became.")
    raw: str | None = column(
        inbound.raw_beginning,
        "Of one that was kept aside the first 64 KiB, as they came, in base64. A stranger has written them.",
    )


@strawberry.type(description="An inbound message's place in a list.")
class InboundMessageEdge(Edge):
    node: InboundMessage = part("The message.")


@strawberry.type(description="A page of inbound messages.")
class InboundMessageConnection(Connection):
    nodes: list[InboundMessage] = part("The page's messages.")
    edges: list[InboundMessageEdge] = part("The page's messages with their cursors.")


@strawberry.input(description="Which inbound messages: everything that is given must hold.")
class InboundMessageFilter:
    outcome: list[InboundOutcome] | None = optional("With one of these outcomes.")


@strawberry.type
class InboundQueries:
    inbound_messages: InboundMessageConnection = connection(
        INBOUND_MESSAGE,
        INBOUND_MESSAGES,
        "The messages that came in by mail, newest first, each once however often it came.",
        arguments=[argument("filter", InboundMessageFilter | None, "Which messages; all if nothing is given.")],
        roles=ADMINS,
    )


@strawberry.input(description="A message in its raw form (RFC 5322 with MIME). Exactly one is given.", one_of=True)
class RawMessage:
    text: str | None = optional("As text, where it is no more than that; it is taken as UTF-8.")
    encoded: str | None = optional("In base64, whatever it has in it.")


@strawberry.input(description="A message that came in by mail.")
class InboundEmailIngestInput:
    message: RawMessage = given("The message, as the mail server has it. The whole request may have 1 MiB.")


@strawberry.type(description="What `inboundEmailIngest` answers.")
class InboundEmailIngestPayload(Payload):
    outcome: InboundOutcome | None = outcome_extra("outcome", "What became of it; null if it was not taken.")
    reason: str | None = outcome_extra("reason", "Why it was ignored or kept aside.")
    ticket: Annotated[Ticket, strawberry.lazy("schema.ticket")] | None = one(
        TICKET,
        inbound.ingested_ticket_id,
        "The ticket that it became or answers, if you see it. A service does not: its sender has made it.",
    )


@strawberry.type
class InboundMutations:
    inbound_email_ingest: InboundEmailIngestPayload = mutation(
        inbound.ingest,
        InboundEmailIngestInput,
        "Take a message that came in by mail. Taken again it does nothing, so send it again if the answer is lost.",
        roles=ADMINS | {Role.SERVICE},
    )
