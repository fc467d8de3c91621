"""Inbound messages: the type, its list, which only admins see, `inboundEmailIngest`, and their review."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import strawberry

from db.entities import INBOUND_MESSAGE, INBOUND_MESSAGES, NOTE, TICKET
from db.enums import ADMINS, CHATBOTS, MAIL_GATEWAYS, InboundOutcome, IngestOutcome, Role
from db.limits import MAIL_RECIPIENTS_MAX, MAIL_TEXT_MAX, SUBJECT_MAX
from resolvers import inbound, inbound_review
from schema.common import Connection, Edge, Node, Payload
from schema.fields import (
    IDEMPOTENCY,
    argument,
    column,
    connection,
    given,
    global_id,
    mutation,
    one,
    optional,
    outcome_extra,
    part,
)

if TYPE_CHECKING:
    from schema.note import Note
    from schema.ticket import Ticket


@strawberry.type(description="An e-mail that Callout received, and the outcome of processing it.")
class InboundMessage(Node):
    id: strawberry.ID = global_id(INBOUND_MESSAGE, "The message's id.")
    received_at: datetime = column("received_at", "When Callout received the message.")
    outcome: InboundOutcome = column("outcome", "The outcome of processing the message.")
    reason: str | None = column(
        "reason", "Why the message was ignored or kept aside, also after its review; null for other outcomes."
    )
    message_id: str | None = column("message_id", "The Message-ID header; null if it is missing or unusable.")
    from_address: str | None = column(
        "from_address",
        "The writer's address, which is not verified: that of the From header, or of Reply-To if a web form or a list "
        "of ours sent the message. Null if there is none.",
    )
    from_name: str | None = column(
        "from_name", "The writer's name, as the message has it, which is not verified; null if there is none."
    )
    recipients: list[str] = column(
        "recipients",
        f"The addresses in To and Cc, in lower case and without our own; at most {MAIL_RECIPIENTS_MAX}.",
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
    text: str | None = column(
        "text",
        f"What a message says that was ignored or kept aside, in at most {MAIL_TEXT_MAX:,} characters; null for other "
        "outcomes, as the ticket or note has it, and if there is no text. Treat it as untrusted.",
    )
    raw: str | None = column(
        inbound.raw_beginning,
        "The first 64 KiB of the message as it arrived, in base64, also of one that was shortened in a ticket or note; "
        "null once it has been dropped, which happens after a time unless it is kept aside: then the message cannot be "
        "accepted any more. Treat it as untrusted.",
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
    idempotency_key: str | None = optional(IDEMPOTENCY)


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


@strawberry.input(description="A message to make a ticket or a note of.")
class InboundMessageAcceptInput:
    inbound_message_id: strawberry.ID = given("The message: one that is IGNORED or KEPT_ASIDE.")
    ticket_id: strawberry.ID | None = optional(
        "The ticket that it becomes a note on; by default the one that it replies to, or else a new ticket."
    )
    contact_email: str | None = optional(
        "The writer's address, if the message has none that can be used, or not the right one."
    )
    idempotency_key: str | None = optional(IDEMPOTENCY)


@strawberry.input(description="A message that is of no interest.")
class InboundMessageDiscardInput:
    inbound_message_id: strawberry.ID = given("The message: one that is IGNORED or KEPT_ASIDE.")
    idempotency_key: str | None = optional(IDEMPOTENCY)


@strawberry.type(description="The result of accepting a message.")
class InboundMessageAcceptPayload(Payload):
    inbound_message: InboundMessage | None = one(
        INBOUND_MESSAGE,
        "object_id",
        "The message, with its ticket and note. If it has been reviewed before, as it is now; null if there is none.",
    )


@strawberry.type(description="The result of discarding a message.")
class InboundMessageDiscardPayload(Payload):
    inbound_message: InboundMessage | None = one(
        INBOUND_MESSAGE,
        "object_id",
        "The message. If it has been reviewed before, as it is now; null if there is none.",
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
        around=inbound.ingesting,
    )
    inbound_message_accept: InboundMessageAcceptPayload = mutation(
        inbound_review.accept,
        InboundMessageAcceptInput,
        "Makes a ticket of a message that was ignored or kept aside, or a note on the ticket that it replies to or "
        "that is given. The rest is as if the message had come in so; a note is internal if its writer has no part in "
        "the ticket. Works once for each message.",
        roles=ADMINS,
    )
    inbound_message_discard: InboundMessageDiscardPayload = mutation(
        inbound_review.discard,
        InboundMessageDiscardInput,
        "Takes a message off those that were ignored or kept aside. It stays in the list, as DISCARDED, until it is "
        "pruned. Works once for each message.",
        roles=ADMINS,
    )
