"""Inbound messages: the type, its list, which only admins see, and `inboundEmailIngest`."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import strawberry

from db.entities import INBOUND_MESSAGE, INBOUND_MESSAGES, NOTE, TICKET
from db.enums import ADMINS, CHATBOTS, MAIL_GATEWAYS, InboundOutcome, IngestOutcome, Role
from db.limits import SUBJECT_MAX
from resolvers import inbound
from schema.common import Connection, Edge, Payload
from schema.fields import argument, column, connection, given, global_id, mutation, one, optional, outcome_extra, part

if TYPE_CHECKING:
    from schema.note import Note
    from schema.ticket import Ticket


@strawberry.type(description="An e-mail that Callout received, and the outcome of processing it.")
class InboundMessage:
    id: strawberry.ID = global_id(INBOUND_MESSAGE, "The message's id.")
    received_at: datetime = column("received_at", "When Callout received the message.")
    outcome: InboundOutcome = column("outcome", "The outcome of processing the message.")
    reason: str | None = column("reason", "Why the message was ignored or kept aside; null for other outcomes.")
    message_id: str | None = column("message_id", "The Message-ID header; null if it is missing or unusable.")
    from_address: str | None = column(
        "from_address", "The address in the From header, which is not verified; null if there is none."
    )
    from_name: str | None = column(
        "from_name", "The name in the From header, which is not verified; null if there is none."
    )
    subject: str | None = column(
        "subject", f"The subject, shortened to {SUBJECT_MAX} characters; null if there is none."
    )
    size: int = column("size", "The size of the message in bytes.")
    ticket: Annotated[Ticket, strawberry.lazy("schema.ticket")] | None = one(
        TICKET, "ticket_id", "The ticket that the message created or added a note to; null if it did neither."
    )
    note: Annotated[Note, strawberry.lazy("schema.note")] | None = one(
        NOTE, "note_id", "The note that the message added; null if none."
    )
    raw: str | None = column(
        inbound.raw_beginning,
        "The first 64 KiB of the message as it arrived, in base64, also of one that was shortened in a ticket or note; "
        "null once it has been dropped, which happens after a time unless it is kept aside. Treat it as untrusted.",
    )


@strawberry.type(description="An inbound message in a list, with its cursor.")
class InboundMessageEdge(Edge):
    node: InboundMessage = part("The message.")


@strawberry.type(description="A page of inbound messages.")
class InboundMessageConnection(Connection):
    nodes: list[InboundMessage] = part("The messages on this page.")
    edges: list[InboundMessageEdge] = part("The messages on this page, with their cursors.")


@strawberry.input(description="A filter for inbound messages. All conditions must hold.")
class InboundMessageFilter:
    outcome: list[InboundOutcome] | None = optional("The outcome is one of these.")


@strawberry.type
class InboundQueries:
    inbound_messages: InboundMessageConnection = connection(
        INBOUND_MESSAGE,
        INBOUND_MESSAGES,
        "The inbound messages, newest first. A message that arrived several times is listed once.",
        arguments=[
            argument("filter", InboundMessageFilter | None, "Only messages that match this filter; by default, all.")
        ],
        roles=ADMINS,
    )


@strawberry.input(description="A raw e-mail message (RFC 5322 with MIME). Set exactly one field.", one_of=True)
class RawMessage:
    text: str | None = optional("The message as text, if it is valid UTF-8.")
    encoded: str | None = optional("The message in base64, for any message.")


@strawberry.input(description="The e-mail to process.")
class InboundEmailIngestInput:
    message: RawMessage = given("The message as the mail server received it. The whole request may have at most 1 MiB.")


@strawberry.type(description="The result of processing an e-mail.")
class InboundEmailIngestPayload(Payload):
    outcome: IngestOutcome | None = outcome_extra(
        "outcome", "What you may learn of the message's outcome; null if the mutation failed."
    )
    reason: str | None = outcome_extra("reason", "Why the message was ignored or kept aside; null for other outcomes.")
    ticket: Annotated[Ticket, strawberry.lazy("schema.ticket")] | None = one(
        TICKET,
        inbound.ingested_ticket_id,
        "The ticket that the message created or added a note to; null if there is none. Services never see it.",
        scopes=CHATBOTS,
    )


@strawberry.type
class InboundMutations:
    inbound_email_ingest: InboundEmailIngestPayload = mutation(
        inbound.ingest,
        InboundEmailIngestInput,
        "Processes an e-mail: it creates a ticket, adds a note to the ticket that it replies to, or is ignored or kept "
        "aside. A repeated message has no effect, so send it again if the response is lost. A service learns only what "
        "the message itself decides, so that it cannot find out what is stored.",
        roles=ADMINS | {Role.SERVICE},
        scopes=MAIL_GATEWAYS,
    )
