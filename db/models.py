"""The tables. PostgreSQL enforces the domain's invariants, by the constraints here and the triggers of `db/ddl.py`,
which a model cannot express; the migrations create both.

Timestamps are `timestamptz`. Ids are UUIDv7, so that rows created together lie close together in an index.
"""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Computed,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    Text,
    UniqueConstraint,
    literal_column,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA, ENUM, JSON, JSONB, TSVECTOR, UUID
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import UserDefinedType

from db import limits
from db.enums import (
    ActorKind,
    AssignmentState,
    AttachmentState,
    Audience,
    AuditAction,
    AuditObjectKind,
    DeliveryChannel,
    DeliveryState,
    DocumentedEnum,
    InboundOutcome,
    NoteVia,
    NoticeKind,
    ServiceScope,
    TextPart,
    TicketCategory,
    TicketEventKind,
    TicketPriority,
    TicketSource,
    TicketStatus,
    WebhookMessageKind,
    WebhookOutcome,
    WebhookState,
    WebhookSuspension,
)


class Xid8(UserDefinedType[str]):
    """A 64-bit transaction id, which never wraps around (PostgreSQL 13 and later)."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return "xid8"


class PgSnapshot(UserDefinedType[str]):
    """A snapshot, PostgreSQL's `pg_snapshot`: the set of transactions that it sees, written `xmin:xmax:xip,…`."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return "pg_snapshot"


def pg_enum(enum: type[DocumentedEnum], name: str) -> ENUM:
    """The PostgreSQL enum type of this name, with the enum's values as its labels."""
    return ENUM(enum, name=name, values_callable=lambda members: [member.value for member in members])


STATUS = pg_enum(TicketStatus, "ticket_status")
PRIORITY = pg_enum(TicketPriority, "ticket_priority")
CATEGORY = pg_enum(TicketCategory, "ticket_category")
SOURCE = pg_enum(TicketSource, "ticket_source")
ACTOR_KIND = pg_enum(ActorKind, "actor_kind")
EVENT_KIND = pg_enum(TicketEventKind, "ticket_event_kind")
NOTICE_KIND = pg_enum(NoticeKind, "notice_kind")
CHANNEL = pg_enum(DeliveryChannel, "delivery_channel")
AUDIENCE = pg_enum(Audience, "delivery_audience")
DELIVERY_STATE = pg_enum(DeliveryState, "delivery_state")
NOTE_VIA = pg_enum(NoteVia, "note_via")
INBOUND_OUTCOME = pg_enum(InboundOutcome, "inbound_outcome")
SERVICE_SCOPE = pg_enum(ServiceScope, "service_scope")
AUDIT_ACTION = pg_enum(AuditAction, "audit_action")
AUDIT_OBJECT_KIND = pg_enum(AuditObjectKind, "audit_object_kind")
ATTACHMENT_STATE = pg_enum(AttachmentState, "attachment_state")
ASSIGNMENT_STATE = pg_enum(AssignmentState, "assignment_state")
WEBHOOK_STATE = pg_enum(WebhookState, "webhook_state")
WEBHOOK_SUSPENSION = pg_enum(WebhookSuspension, "webhook_suspension")
WEBHOOK_MESSAGE_KIND = pg_enum(WebhookMessageKind, "webhook_message_kind")
WEBHOOK_OUTCOME = pg_enum(WebhookOutcome, "webhook_outcome")

NOW = text("now()")

SHORT_PENDING_LIST = {"gin_pending_list_limit": 512}  # kB
"""For a GIN index that many writes go to. They only add to a list, until one has to merge it into the index: with the
4 MB that are usual, this one waited for 1.5 s at 150,000 tickets, and for 0.2 s with 512 kB."""


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012 (SQLAlchemy declares it so)
        str: Text,
        int: Integer,
        bool: Boolean,
        datetime: DateTime(timezone=True),
        uuid.UUID: UUID(as_uuid=False),
    }


def present(column: str, maximum: int) -> CheckConstraint:
    """The text has 1 to `maximum` characters, not all of them white space."""
    return CheckConstraint(
        f"btrim({column}, E' \\t\\n\\r') <> '' AND length({column}) <= {maximum}", name=f"{column}_length"
    )


def at_most(column: str, maximum: int) -> CheckConstraint:
    """The text has at most `maximum` characters."""
    return CheckConstraint(f"length({column}) <= {maximum}", name=f"{column}_length")


def search_form(column: str) -> Any:
    """A generated column with another in lower case (`search_form` in `db/ddl.py`). It is sorted by bytes, so that
    an index finds a prefix as a range."""
    return mapped_column(Text(collation="C"), Computed(f"search_form({column})", persisted=True))


SEARCHABLE_NAME, SEARCHABLE_EMAIL, SEARCHABLE_ACCOUNT_NUMBER = (
    f"split_part(searchable, chr(10), {line})" for line in (1, 2, 3)
)
"""SQL for the first lines of a customer's `searchable`."""


class CustomerRow(Base):
    """A customer. After an erasure, which begins at `erased_at`, the row has placeholders. Triggers write `searchable`
    (`db/ddl_search.py`). Servers of the previous release search by `email_form` and `search_text`."""

    __tablename__ = "customers"
    __table_args__ = (
        present("name", limits.NAME_MAX),
        present("email", limits.EMAIL_MAX),
        at_most("phone", limits.PHONE_MAX),
        present("account_number", limits.ACCOUNT_NUMBER_MAX),
        UniqueConstraint("account_number"),
        Index("uq_customers_email", text("lower(email)"), unique=True),
        Index("ix_customers_name_form_id", "name_form", "id"),
        Index("ix_customers_account_number_form", "account_number_form"),
        Index("ix_customers_created_at_id", "created_at", "id"),
        Index("ix_customers_name_searchable_id", text(SEARCHABLE_NAME), "id"),
        Index("ix_customers_email_searchable", text(SEARCHABLE_EMAIL)),
        Index("ix_customers_account_number_searchable", text(SEARCHABLE_ACCOUNT_NUMBER)),
        Index("ix_customers_phone_end", text("phone_end(phone)")),
        Index(
            "ix_customers_search",
            "searchable",
            postgresql_using="gin",
            postgresql_ops={"searchable": "gin_trgm_ops"},
        ),
        Index(
            "ix_customers_name_words",
            literal_column(SEARCHABLE_NAME).label("name"),
            postgresql_using="gin",
            postgresql_ops={"name": "gin_trgm_ops"},
        ),
        Index("ix_customers_search_pairs", text("search_pairs(searchable)"), postgresql_using="gin"),
        Index("ix_customers_name_pairs", text(f"search_pairs({SEARCHABLE_NAME})"), postgresql_using="gin"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    account_number: Mapped[str]
    name: Mapped[str]
    email: Mapped[str]
    phone: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    erased_at: Mapped[datetime | None]
    name_form: Mapped[str] = search_form("name")
    email_form: Mapped[str] = search_form("email")
    account_number_form: Mapped[str] = search_form("account_number")
    search_text: Mapped[str] = mapped_column(
        Computed(
            "search_form(name) || E'\\n' || search_form(email) || E'\\n' || search_form(account_number)", persisted=True
        )
    )
    searchable: Mapped[str] = mapped_column(Text(collation="C"), server_default=text("''"))


class ErasureRow(Base):
    """The erasure of a customer, which the admin `actor_id` has begun (`db/erasure/steps.py`).

    `sought` has the values that are still looked for: those that are looked for everywhere, and those that are looked
    for in the customer's tickets. It is null once the erasure is finished. `stage` and `after`, the id of a row, say
    what is done. `xid` is the transaction that has begun the erasure.
    """

    __tablename__ = "erasures"
    __table_args__ = (
        CheckConstraint("stage IN ('TICKETS', 'OTHERS', 'MAIL', 'REST', 'STATISTICS')", name="stage_known"),
        CheckConstraint("(finished_at IS NULL) = (sought IS NOT NULL)", name="finished_has_forgotten"),
    )

    customer_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("customers.id"), primary_key=True)
    xid: Mapped[str] = mapped_column(Xid8, server_default=text("pg_current_xact_id()"))
    actor_id: Mapped[str]
    actor_name: Mapped[str]
    requested_at: Mapped[datetime] = mapped_column(server_default=NOW)
    sought: Mapped[list[dict[str, list[str]]] | None] = mapped_column(JSONB)
    stage: Mapped[str] = mapped_column(server_default=text("'TICKETS'"))
    after: Mapped[uuid.UUID] = mapped_column(server_default=text("'00000000-0000-0000-0000-000000000000'"))
    finished_at: Mapped[datetime | None]


class PropertyRow(Base):
    __tablename__ = "properties"
    __table_args__ = (
        present("address", limits.ADDRESS_MAX),
        present("account_number", limits.ACCOUNT_NUMBER_MAX),
        at_most("access_notes", limits.ACCESS_NOTES_MAX),
        UniqueConstraint("account_number"),
        UniqueConstraint("id", "customer_id"),  # for the foreign key of a ticket's property and customer
        Index("ix_properties_customer_id_address_id", "customer_id", "address", "id"),
        Index("ix_properties_address_id", "address", "id"),
        Index("ix_properties_account_number", text("lower(account_number)")),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    customer_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("customers.id"))
    address: Mapped[str]
    account_number: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    access_notes: Mapped[str | None]


class TechnicianRow(Base):
    __tablename__ = "technicians"
    __table_args__ = (
        present("name", limits.NAME_MAX),
        present("email", limits.EMAIL_MAX),
        at_most("phone", limits.PHONE_MAX),
        Index("uq_technicians_email", text("lower(email)"), unique=True),
        Index("ix_technicians_name_id", "name", "id"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    name: Mapped[str]
    email: Mapped[str]
    phone: Mapped[str | None]
    active: Mapped[bool] = mapped_column(server_default=text("true"))
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)


class TicketRow(Base):
    """A ticket. Triggers write `searchable` (`db/ddl_search.py`), and `search_text`, by which servers of the previous
    release search. `public_updated_at` is the `updated_at` that customers and services see: an internal note does not
    change it. `sender_verified` is that of the message that created the ticket, as for a note. `customer_linked` is
    whether the customer was found by an address or account number that somebody typed. `follows_id` is the ticket that
    this one follows up.

    Triggers begin an assignment when the technician changes or the ticket is reopened (`db/ddl_assignments.py`).
    `assignment_id` is the ticket's present assignment, or the one that was declined last; `assignment_state` and
    `assignment_eta` repeat what it has, so that events have them in their images. `assigned_at` is since when the
    ticket has been with its technician, or unassigned; for tickets that are older than the column, when it was added.
    `assignment_overdue` is whether the technician has not answered it in time."""

    __tablename__ = "tickets"
    __table_args__ = (
        CheckConstraint(
            f"reference ~ '^{limits.REFERENCE_PREFIX}[{limits.REFERENCE_ALPHABET}]{{{limits.REFERENCE_LENGTH}}}$'",
            name="reference_form",
        ),
        CheckConstraint("version > 0", name="version_positive"),
        present("subject", limits.SUBJECT_MAX),
        present("description", limits.DESCRIPTION_MAX),
        present("contact_name", limits.NAME_MAX),
        present("contact_email", limits.EMAIL_MAX),
        at_most("contact_phone", limits.PHONE_MAX),
        present("resolution", limits.RESOLUTION_MAX),
        CheckConstraint("status <> 'RESOLVED' OR resolution IS NOT NULL", name="resolved_has_resolution"),
        CheckConstraint("(status = 'RESOLVED') <= (resolved_at IS NOT NULL)", name="resolved_has_time"),
        CheckConstraint("(status = 'CLOSED') = (closed_at IS NOT NULL)", name="closed_has_time"),
        CheckConstraint(
            "status IN ('RESOLVED', 'CLOSED') OR (resolution IS NULL AND resolved_at IS NULL)",
            name="unresolved_has_no_resolution",
        ),
        CheckConstraint("property_id IS NULL OR customer_id IS NOT NULL", name="property_needs_customer"),
        ForeignKeyConstraint(["property_id", "customer_id"], ["properties.id", "properties.customer_id"]),
        UniqueConstraint("reference"),
        Index("ix_tickets_created_at_id", "created_at", "id"),
        # A list is read part by part (`db/lists/in_order.py`): there is one index for each set of columns that define
        # the parts, and each order within a part. The assignee comes last, so that the tickets of other technicians
        # are skipped without fetching their rows.
        *(
            Index(f"ix_tickets_{'_'.join((*part, *order))}", *part, *order, "technician_id")
            for part in (("status",), ("priority",), ("status", "priority"))
            for order in (
                ("id",),
                ("created_at", "id"),
                ("updated_at", "id"),
                ("public_updated_at", "id"),
                ("assigned_at", "id"),
            )
        ),
        Index("ix_tickets_updated_at_id", "updated_at", "id", "technician_id"),
        Index("ix_tickets_assigned_at_id", "assigned_at", "id", "technician_id"),
        Index("ix_tickets_public_updated_at_id", "public_updated_at", "id", "technician_id"),
        # Most tickets of a technician, a customer or a property are closed. The status comes last, so that these are
        # skipped without fetching their rows.
        Index("ix_tickets_technician_id_created_at_id", "technician_id", "created_at", "id", "status"),
        Index("ix_tickets_customer_id_created_at_id", "customer_id", "created_at", "id", "technician_id", "status"),
        Index("ix_tickets_property_id_created_at_id", "property_id", "created_at", "id", "technician_id", "status"),
        Index(
            "ix_tickets_assignment_state_created_at_id",
            "assignment_state",
            "created_at",
            "id",
            postgresql_where=text("assignment_state IS NOT NULL"),
        ),
        Index("ix_tickets_assignment_overdue", "created_at", "id", postgresql_where=text("assignment_overdue")),
        # The assignments that may become overdue.
        Index(
            "ix_tickets_unanswered",
            "priority",
            "assigned_at",
            postgresql_where=text("assignment_state = 'OFFERED' AND status = 'OPEN' AND NOT assignment_overdue"),
        ),
        # The tickets that technicians see without being assigned to them.
        Index(
            "ix_tickets_created_for_others",
            "creator_id",
            "created_at",
            "id",
            postgresql_where=text("creator_kind = 'TECHNICIAN' AND technician_id::text IS DISTINCT FROM creator_id"),
        ),
        Index("ix_tickets_creator_id_created_at_id", "creator_id", "creator_kind", "created_at", "id"),
        Index(
            "ix_tickets_follows_id_created_at_id",
            "follows_id",
            "created_at",
            "id",
            postgresql_where=text("follows_id IS NOT NULL"),
        ),
        Index(
            "ix_tickets_search",
            "searchable",
            "status",
            "priority",
            "category",
            "source",
            "technician_id",
            "creator_id",
            postgresql_using="gin",
            postgresql_ops={"searchable": "gin_trgm_ops"},
            postgresql_with=SHORT_PENDING_LIST,
        ),
        Index(
            "ix_tickets_search_pairs",
            text("search_pairs(searchable)"),
            "status",
            "priority",
            "category",
            "source",
            "technician_id",
            "creator_id",
            postgresql_using="gin",
            postgresql_with=SHORT_PENDING_LIST,
        ),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    reference: Mapped[str] = mapped_column(Text(collation="C"))  # sorts by bytes: cheap, and the same in any locale
    version: Mapped[int] = mapped_column(server_default=text("1"))
    subject: Mapped[str]
    description: Mapped[str]
    status: Mapped[TicketStatus] = mapped_column(STATUS, server_default=TicketStatus.OPEN)
    priority: Mapped[TicketPriority] = mapped_column(PRIORITY, server_default=TicketPriority.MEDIUM)
    category: Mapped[TicketCategory] = mapped_column(CATEGORY, server_default=TicketCategory.GENERAL)
    source: Mapped[TicketSource] = mapped_column(SOURCE)
    creator_kind: Mapped[ActorKind] = mapped_column(ACTOR_KIND)
    creator_id: Mapped[str]
    contact_name: Mapped[str]
    contact_email: Mapped[str]
    contact_phone: Mapped[str | None]
    customer_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("customers.id"))
    property_id: Mapped[uuid.UUID | None]
    technician_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("technicians.id"))
    resolution: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    updated_at: Mapped[datetime] = mapped_column(server_default=NOW)
    public_updated_at: Mapped[datetime] = mapped_column(server_default=NOW)
    resolved_at: Mapped[datetime | None]
    closed_at: Mapped[datetime | None]
    search_text: Mapped[str] = mapped_column(server_default=text("''"))
    searchable: Mapped[str] = mapped_column(Text(collation="C"), server_default=text("''"))
    sender_verified: Mapped[bool | None]
    customer_linked: Mapped[bool] = mapped_column(server_default=text("false"))
    follows_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("tickets.id"))
    assignment_id: Mapped[uuid.UUID | None]
    assignment_state: Mapped[AssignmentState | None] = mapped_column(ASSIGNMENT_STATE)
    assigned_at: Mapped[datetime] = mapped_column(server_default=NOW)
    assignment_eta: Mapped[datetime | None]
    assignment_overdue: Mapped[bool] = mapped_column(server_default=text("false"))


class AssignmentRow(Base):
    """An assignment: a ticket that was given to a technician, and the technician's steps (`resolvers/assignment.py`).
    A trigger inserts the row when the ticket is changed, and supersedes the one before (`db/ddl_assignments.py`). It
    has no foreign keys, whose checks would slow each assignment: tickets and technicians are never deleted.

    The times are when the technician took the steps; skipped steps have none. `delivered_at` is when one of the
    technician's devices was known to have the assignment. `xid` is the transaction that has offered it.
    """

    __tablename__ = "assignments"
    __table_args__ = (
        present("reason", limits.REASON_MAX),
        CheckConstraint("(state = 'DECLINED') = (reason IS NOT NULL)", name="declined_has_reason"),
        Index("ix_assignments_ticket_id", "ticket_id"),
        Index(
            "ix_assignments_undelivered",
            "technician_id",
            postgresql_where=text("delivered_at IS NULL AND state = 'OFFERED'"),
        ),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    ticket_id: Mapped[uuid.UUID]
    technician_id: Mapped[uuid.UUID]
    state: Mapped[AssignmentState] = mapped_column(ASSIGNMENT_STATE)
    offered_at: Mapped[datetime]
    delivered_at: Mapped[datetime | None]
    seen_at: Mapped[datetime | None]
    accepted_at: Mapped[datetime | None]
    en_route_at: Mapped[datetime | None]
    on_site_at: Mapped[datetime | None]
    left_at: Mapped[datetime | None]
    eta: Mapped[datetime | None]
    reason: Mapped[str | None]
    xid: Mapped[str] = mapped_column(Xid8, server_default=text("pg_current_xact_id()"))


class TicketChatRow(Base):
    """The chatbot conversation that a ticket came from. `messages` is `[{author, body, at}]`, oldest first."""

    __tablename__ = "ticket_chats"
    __table_args__ = (
        UniqueConstraint("creator_id", "conversation_id"),
        at_most("conversation_id", limits.CONVERSATION_ID_MAX),
    )

    ticket_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("tickets.id"), primary_key=True)
    creator_id: Mapped[str]
    conversation_id: Mapped[str | None]
    messages: Mapped[list[dict[str, str]]] = mapped_column(JSON)


class NoteRow(Base):
    """A note, which is never updated or deleted: a trigger refuses both, except for the updates of an erasure.
    `customer_id` is the ticket's customer at the time, so that a ticket's next customer does not see the notes from
    before. `sender_verified` is whether a mail server of ours has verified the sender of a note that came by mail; null
    if none has said anything. `quoted` is the history and the signature of such a mail, which are not in `body`.
    `occurred_at` is when it was written on a device that was offline, if the device says so."""

    __tablename__ = "notes"
    __table_args__ = (
        present("body", limits.NOTE_MAX),
        at_most("quoted", limits.QUOTED_MAX),
        Index("ix_notes_ticket_id_created_at_id", "ticket_id", "created_at", "id"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    ticket_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("tickets.id"))
    customer_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("customers.id"))
    body: Mapped[str]
    internal_only: Mapped[bool] = mapped_column(server_default=text("true"))
    author_kind: Mapped[ActorKind] = mapped_column(ACTOR_KIND)
    author_id: Mapped[str]
    author_name: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    via: Mapped[NoteVia] = mapped_column(NOTE_VIA, server_default=NoteVia.WEB)
    sender_verified: Mapped[bool | None]
    quoted: Mapped[str | None]
    occurred_at: Mapped[datetime | None]


class TicketTextRow(Base):
    """The words of a text on a ticket, by which `TicketFilter.text` finds it. `part` says which text it is, and
    `text_id` is the id of its ticket or note; `internal_only` and `customer_id` are those of the note. Triggers write
    the row (`db/ddl_texts.py`). It has no foreign keys, whose checks would slow each note: tickets and notes are never
    deleted."""

    __tablename__ = "ticket_texts"
    __table_args__ = (
        CheckConstraint(f"part IN {tuple(map(str, TextPart))}", name="part_known"),
        Index(
            "ix_ticket_texts_words",
            "words",
            postgresql_using="gin",
            postgresql_with=SHORT_PENDING_LIST,
        ),
    )

    ticket_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    text_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    part: Mapped[str] = mapped_column(primary_key=True)
    internal_only: Mapped[bool]
    customer_id: Mapped[uuid.UUID | None]
    words: Mapped[str] = mapped_column(TSVECTOR)


class AttachmentRow(Base):
    """A file on a ticket, or on one of its notes.

    `customer_id` is the ticket's customer at the time, as for a note. `sha256` names the object with the file's
    contents (`db/object_store.py`), `thumbnail` the one with its thumbnail; `size` is in bytes. While the file is
    UPLOADING, `size` and `sha256` are what the client has announced; `upload_size` always is that size, as the file may
    be changed after it has arrived. `reason` says why it was REJECTED. `width` and
    `height` are those of an image, in pixels. `finished_at` is when it became READY or REJECTED.

    While it is SCANNING, `due_at` is when a worker may claim it (`callout/files/worker.py`), at once if it is null, and
    `attempts` counts the claims. `uploaded_sha256` is the digest of what was uploaded, if a photo has replaced it.

    `occurred_at` and `idempotency_key` are for the event that its becoming READY or REJECTED writes.
    """

    __tablename__ = "attachments"
    __table_args__ = (
        present("name", limits.FILE_NAME_MAX),
        present("content_type", limits.CONTENT_TYPE_MAX),
        at_most("reason", limits.REASON_MAX),
        CheckConstraint("size >= 0", name="size_not_negative"),
        CheckConstraint("length(sha256) = 32 AND length(thumbnail) = 32", name="digests_length"),
        CheckConstraint("(state = 'ERASED') = (sha256 IS NULL)", name="erased_has_no_object"),
        CheckConstraint("(state IN ('UPLOADING', 'SCANNING')) = (finished_at IS NULL)", name="finished_has_time"),
        CheckConstraint("(state = 'REJECTED') = (reason IS NOT NULL)", name="rejected_has_reason"),
        CheckConstraint("thumbnail IS NULL OR state <> 'ERASED'", name="erased_has_no_thumbnail"),
        CheckConstraint("(width IS NULL) = (height IS NULL) AND width > 0 AND height > 0", name="image_has_size"),
        Index("ix_attachments_ticket_id_created_at_id", "ticket_id", "created_at", "id"),
        Index(
            "ix_attachments_note_id_created_at_id",
            "note_id",
            "created_at",
            "id",
            postgresql_where=text("note_id IS NOT NULL"),
        ),
        Index("ix_attachments_creator_id_created_at", "creator_id", "created_at"),
        Index("ix_attachments_sha256", "sha256"),
        Index("ix_attachments_thumbnail", "thumbnail", postgresql_where=text("thumbnail IS NOT NULL")),
        Index(
            "ix_attachments_unfinished",
            "state",
            "created_at",
            postgresql_where=text("finished_at IS NULL"),
        ),
        Index("ix_attachments_rejected", "finished_at", postgresql_where=text("state = 'REJECTED'")),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    ticket_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("tickets.id"))
    note_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("notes.id"))
    customer_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("customers.id"))
    name: Mapped[str]
    content_type: Mapped[str]
    size: Mapped[int] = mapped_column(BigInteger)
    upload_size: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[bytes | None] = mapped_column(BYTEA)
    internal_only: Mapped[bool] = mapped_column(server_default=text("true"))
    state: Mapped[AttachmentState] = mapped_column(ATTACHMENT_STATE, server_default=AttachmentState.UPLOADING)
    reason: Mapped[str | None]
    width: Mapped[int | None]
    height: Mapped[int | None]
    thumbnail: Mapped[bytes | None] = mapped_column(BYTEA)
    creator_kind: Mapped[ActorKind] = mapped_column(ACTOR_KIND)
    creator_id: Mapped[str]
    creator_name: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    finished_at: Mapped[datetime | None]
    due_at: Mapped[datetime | None]
    attempts: Mapped[int] = mapped_column(server_default=text("0"))
    uploaded_sha256: Mapped[bytes | None] = mapped_column(BYTEA)
    is_answer: Mapped[bool] = mapped_column(server_default=text("false"))
    occurred_at: Mapped[datetime | None]
    idempotency_key: Mapped[str | None]


class ArticleRow(Base):
    __tablename__ = "articles"
    __table_args__ = (
        present("problem", limits.PROBLEM_MAX),
        present("solution", limits.SOLUTION_MAX),
        UniqueConstraint("source_ticket_id"),  # a ticket becomes an article once
        Index("ix_articles_created_at_id", "created_at", "id"),
        Index("ix_articles_search", "search_vector", postgresql_using="gin"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    problem: Mapped[str]
    solution: Mapped[str]
    published: Mapped[bool] = mapped_column(server_default=text("false"))
    source_ticket_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("tickets.id"))
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    updated_at: Mapped[datetime] = mapped_column(server_default=NOW)
    search_vector: Mapped[str] = mapped_column(
        TSVECTOR,
        Computed(
            "setweight(to_tsvector('english'::regconfig, problem), 'A') || "
            "setweight(to_tsvector('english'::regconfig, solution), 'B')",
            persisted=True,
        ),
    )


class ArticleWordRow(Base):
    """A word that occurs, or once occurred, in an article; `published` if it has been in a published one. A trigger
    writes the rows, which the search uses to correct typing mistakes."""

    __tablename__ = "article_words"

    word: Mapped[str] = mapped_column(Text(collation="C"), primary_key=True)
    published: Mapped[bool]


class SupportSettingsRow(Base):
    """The support settings, a single row. The webhook's URL is a secret: it can be set and is used, but is never shown.
    `email_kinds`, `google_chat_kinds` and `push_kinds` are the kinds of notifications that the channels send. For
    `reopen_days` after it was closed, a customer's answer reopens a ticket. An assignment that its technician does not
    answer is overdue after as many minutes as the column of the ticket's priority says; null for never."""

    __tablename__ = "support_settings"
    __table_args__ = (
        CheckConstraint("id = 1", name="single_row"),
        CheckConstraint(f"cardinality(admin_recipients) <= {limits.RECIPIENTS_MAX}", name="recipients_count"),
        CheckConstraint(f"reopen_days BETWEEN 0 AND {limits.REOPEN_DAYS_MAX}", name="reopen_days_bounded"),
        CheckConstraint(
            "NOT google_chat_enabled OR google_chat_webhook_url IS NOT NULL", name="google_chat_needs_webhook"
        ),
        *(
            CheckConstraint(
                f"overdue_minutes_{priority.lower()} BETWEEN 0 AND {limits.OVERDUE_MINUTES_MAX}",
                name=f"overdue_minutes_{priority.lower()}_bounded",
            )
            for priority in TicketPriority
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True, server_default=text("1"))
    admin_recipients: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=text("'{}'"))
    google_chat_webhook_url: Mapped[str | None]
    google_chat_enabled: Mapped[bool] = mapped_column(server_default=text("false"))
    email_kinds: Mapped[list[NoticeKind]] = mapped_column(
        ARRAY(NOTICE_KIND),
        server_default=text(
            "'{CREATED,ASSIGNED,UNASSIGNED,DECLINED,OVERDUE,NOTE_ADDED,CUSTOMER_ANSWERED,RESOLVED,REOPENED}'"
        ),
    )
    google_chat_kinds: Mapped[list[NoticeKind]] = mapped_column(
        ARRAY(NOTICE_KIND),
        server_default=text("'{CREATED,ASSIGNED,DECLINED,OVERDUE,CUSTOMER_ANSWERED,REOPENED}'"),
    )
    reopen_days: Mapped[int] = mapped_column(server_default=text("14"))
    overdue_minutes_low: Mapped[int | None]
    overdue_minutes_medium: Mapped[int | None]
    overdue_minutes_high: Mapped[int | None] = mapped_column(server_default=text("120"))
    overdue_minutes_urgent: Mapped[int | None] = mapped_column(server_default=text("30"))
    updated_at: Mapped[datetime] = mapped_column(server_default=NOW)
    push_kinds: Mapped[list[NoticeKind]] = mapped_column(
        ARRAY(NOTICE_KIND), server_default=text("'{ASSIGNED,CUSTOMER_ANSWERED}'")
    )


class ApiKeyRow(Base):
    """An API key. `secret_hash` is the SHA-256 hash of a secret of 256 random bits; `prefix` is the secret's beginning,
    by which people recognise a key. A key without a `scope` was made when keys had none, and may do all that services
    may. `creator_id` is the subject of the admin who made it. `last_used_at` is up to a minute old."""

    __tablename__ = "api_keys"
    __table_args__ = (present("name", limits.NAME_MAX), UniqueConstraint("secret_hash"))

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    name: Mapped[str]
    prefix: Mapped[str]
    secret_hash: Mapped[bytes] = mapped_column(BYTEA)
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    revoked_at: Mapped[datetime | None]
    scope: Mapped[ServiceScope | None] = mapped_column(SERVICE_SCOPE)
    expires_at: Mapped[datetime | None]
    creator_id: Mapped[str | None]
    creator_name: Mapped[str | None]
    last_used_at: Mapped[datetime | None]


class AdminRow(Base):
    """An admin who signs in here. Others are admins by their token alone, and have no row."""

    __tablename__ = "admins"
    __table_args__ = (
        present("name", limits.NAME_MAX),
        present("email", limits.EMAIL_MAX),
        Index("uq_admins_email", text("lower(email)"), unique=True),
        Index("ix_admins_name_id", "name", "id"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    name: Mapped[str]
    email: Mapped[str]
    active: Mapped[bool] = mapped_column(server_default=text("true"))
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)


class SessionRow(Base):
    """A session: a browser in which a person is signed in. `secret_hash` is the SHA-256 hash of the secret in its
    cookie, and `previous_hash` that of the secret before, which is valid for a moment after `renewed_at`. `used_at` is
    up to a minute old. `user_agent` is what the browser says of itself."""

    __tablename__ = "sessions"
    __table_args__ = (
        at_most("user_agent", limits.USER_AGENT_MAX),
        CheckConstraint("num_nonnulls(admin_id, technician_id, customer_id) = 1", name="of_one_person"),
        UniqueConstraint("secret_hash"),
        Index("ix_sessions_previous_hash", "previous_hash"),
        Index("ix_sessions_used_at", "used_at"),
        Index("ix_sessions_created_at_id", "created_at", "id"),
        *(
            Index(f"ix_sessions_{person}_id_created_at_id", f"{person}_id", "created_at", "id")
            for person in ("admin", "technician", "customer")
        ),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    secret_hash: Mapped[bytes] = mapped_column(BYTEA)
    previous_hash: Mapped[bytes | None] = mapped_column(BYTEA)
    admin_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("admins.id"))
    technician_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("technicians.id"))
    customer_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("customers.id"))
    user_agent: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    renewed_at: Mapped[datetime] = mapped_column(server_default=NOW)
    used_at: Mapped[datetime] = mapped_column(server_default=NOW)


class SignInLinkRow(Base):
    """A link that was mailed to a person, with which they sign in once. `secret_hash` is the SHA-256 hash of the secret
    in it."""

    __tablename__ = "sign_in_links"
    __table_args__ = (
        CheckConstraint("num_nonnulls(admin_id, technician_id, customer_id) = 1", name="of_one_person"),
        Index("ix_sign_in_links_created_at", "created_at"),
    )

    secret_hash: Mapped[bytes] = mapped_column(BYTEA, primary_key=True)
    admin_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("admins.id"))
    technician_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("technicians.id"))
    customer_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("customers.id"))
    next_path: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    used_at: Mapped[datetime | None]


class PasskeyRow(Base):
    """A passkey, with which a person signs in (WebAuthn). `credential_id` is its id, and `public_key` as COSE has it.
    `sign_count` is how often it has been used, as far as its authenticator counts. `user_agent` is what the browser in
    which it was made has said of itself."""

    __tablename__ = "passkeys"
    __table_args__ = (
        at_most("user_agent", limits.USER_AGENT_MAX),
        CheckConstraint("num_nonnulls(admin_id, technician_id, customer_id) = 1", name="of_one_person"),
        UniqueConstraint("credential_id"),
        *(Index(f"ix_passkeys_{person}_id", f"{person}_id") for person in ("admin", "technician", "customer")),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    credential_id: Mapped[bytes] = mapped_column(BYTEA)
    public_key: Mapped[bytes] = mapped_column(BYTEA)
    sign_count: Mapped[int] = mapped_column(BigInteger)
    admin_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("admins.id"))
    technician_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("technicians.id"))
    customer_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("customers.id"))
    user_agent: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    used_at: Mapped[datetime | None]


class TokenRevocationRow(Base):
    """A revocation of all tokens of a subject, or of everybody if it has none, that were issued until then."""

    __tablename__ = "token_revocations"
    __table_args__ = (present("subject", limits.NAME_MAX), Index("ix_token_revocations_revoked_at", "revoked_at"))

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    subject: Mapped[str | None]
    revoked_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))


class IdentityRow(Base):
    """A subject of an identity provider, and the technician or customer who it is: who signs in there is this person
    here. `issuer` and `subject` are the claims of the provider's tokens. A revoked identity stays, so that nobody is
    linked to it again but by an admin."""

    __tablename__ = "identities"
    __table_args__ = (
        present("issuer", limits.ISSUER_MAX),
        present("subject", limits.TOKEN_SUBJECT_MAX),
        CheckConstraint("(technician_id IS NULL) <> (customer_id IS NULL)", name="of_one_person"),
        Index("uq_identities_subject_issuer", "subject", "issuer", unique=True),
        Index("ix_identities_created_at_id", "created_at", "id"),
        Index("ix_identities_technician_id_created_at_id", "technician_id", "created_at", "id"),
        Index("ix_identities_customer_id_created_at_id", "customer_id", "created_at", "id"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    issuer: Mapped[str]
    subject: Mapped[str]
    technician_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("technicians.id"))
    customer_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("customers.id"))
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    revoked_at: Mapped[datetime | None]


class IdempotencyKeyRow(Base):
    """The record of a mutation or a command that has been carried out: `object_id` is what its answer is about, or
    the nil UUID, and `extra` has what else belongs to the answer. A key belongs to its caller, and its row is committed
    together with what the request has changed. `device` is the digest of the device that sent it as a command."""

    __tablename__ = "idempotency_keys"
    __table_args__ = (Index("ix_idempotency_keys_created_at", "created_at"),)

    caller: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    request_hash: Mapped[bytes] = mapped_column(BYTEA)
    object_id: Mapped[uuid.UUID]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    extra: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    device: Mapped[bytes | None] = mapped_column(BYTEA)


class DeviceRow(Base):
    """A device that has sent commands, by the digest of the id that it has given itself, and whose it is. `used_at` is
    up to a day old."""

    __tablename__ = "devices"
    __table_args__ = (
        Index("ix_devices_caller_used_at", "caller", "used_at"),
        Index("ix_devices_used_at", "used_at"),
    )

    digest: Mapped[bytes] = mapped_column(BYTEA, primary_key=True)
    caller: Mapped[str]
    used_at: Mapped[datetime] = mapped_column(server_default=NOW)


class TrackingGuessRow(Base):
    """How many more wrong guesses of `ticketTrack` a subject may have, `until` its count begins anew. A subject is a
    caller, or the hash of a reference, of an address, or of the pair of both that was guessed."""

    __tablename__ = "tracking_guesses"

    subject: Mapped[str] = mapped_column(primary_key=True)
    remaining: Mapped[int]
    until: Mapped[datetime]


class UsedStreamTicketRow(Base):
    """A stream ticket that has been used, so that it cannot be used again (`callout/live/stream_tickets.py`)."""

    __tablename__ = "used_stream_tickets"
    __table_args__ = (Index("ix_used_stream_tickets_expires_at", "expires_at"),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    expires_at: Mapped[datetime]


class TicketEventRow(Base):
    """The event log: one row for each change of a ticket, each note and each attachment, written under the ticket's row
    lock.

    `before` and `after` are the ticket's row images; `before` is null for a creation. `public` is false for an internal
    note or attachment, which customers and services must not learn of. `attachment_id` is not a foreign key, because an
    attachment that was rejected is deleted after a while. `xid` is the transaction that wrote the row. A stream's
    position is a snapshot, and the events between two positions are those that the second sees and the first does not.

    `occurred_at` is when it was done on a device that was offline then, if the device says so, and `idempotency_key`
    the key of the request, which its author alone reads.
    """

    __tablename__ = "ticket_events"
    __table_args__ = (
        Index("ix_ticket_events_xid", "xid"),
        UniqueConstraint("ticket_id", "at"),  # the time identifies an event among its ticket's, and orders them
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, server_default=text("gen_random_uuid()"))
    xid: Mapped[str] = mapped_column(Xid8, server_default=text("pg_current_xact_id()"))
    ticket_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("tickets.id"))
    kind: Mapped[TicketEventKind] = mapped_column(EVENT_KIND)
    actor_kind: Mapped[ActorKind] = mapped_column(ACTOR_KIND)
    actor_id: Mapped[str]
    actor_name: Mapped[str]
    at: Mapped[datetime] = mapped_column(server_default=NOW)
    before: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    after: Mapped[dict[str, Any]] = mapped_column(JSONB)
    note_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("notes.id"))
    public: Mapped[bool] = mapped_column(server_default=text("true"))
    attachment_id: Mapped[uuid.UUID | None]
    occurred_at: Mapped[datetime | None]
    idempotency_key: Mapped[str | None]


class EventLogRow(Base):
    """The state of the event log, a single row.

    The key of the stream cursors is derived from `identity`, which never changes. `fingerprint` is that of the events
    up to the position `fingerprinted` (`db/events/position.py`). `counted` and `service_counted` are the positions up
    to which `ticket_counts` and `service_ticket_counts` include the events. Events of transactions below `horizon` may
    be deleted: a stream cannot resume from a position that does not see all of them. `cluster` is the one that all
    these transaction ids belong to. `audit_fingerprint`, `audit_fingerprinted` and `audit_horizon` are the same for the
    audit trail, whose entries streams deliver as well; `audit_last` is the last transaction with an entry that its
    fingerprint includes, even if the entry has been deleted. `delivery_fingerprint` and `delivery_fingerprinted` are
    the same for `delivery_events`.
    """

    __tablename__ = "event_log"
    __table_args__ = (CheckConstraint("id = 1", name="single_row"),)

    id: Mapped[int] = mapped_column(primary_key=True, server_default=text("1"))
    identity: Mapped[uuid.UUID]
    cluster: Mapped[str]
    counted: Mapped[str] = mapped_column(PgSnapshot)
    service_counted: Mapped[str] = mapped_column(PgSnapshot)
    horizon: Mapped[str] = mapped_column(Xid8, server_default=text("'0'::xid8"))
    horizon_at: Mapped[datetime] = mapped_column(server_default=NOW)
    fingerprint: Mapped[int] = mapped_column(BigInteger)
    fingerprinted: Mapped[str] = mapped_column(PgSnapshot)
    audit_fingerprint: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    audit_fingerprinted: Mapped[str] = mapped_column(PgSnapshot, server_default=text("'1:1:'::pg_snapshot"))
    audit_last: Mapped[str] = mapped_column(Xid8, server_default=text("'0'::xid8"))
    audit_horizon: Mapped[str] = mapped_column(Xid8, server_default=text("'0'::xid8"))
    delivery_fingerprint: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    delivery_fingerprinted: Mapped[str] = mapped_column(PgSnapshot, server_default=text("'1:1:'::pg_snapshot"))


class TicketCountRow(Base):
    """The number `n` of tickets for each combination of values, as of the position `event_log.counted`. The nil UUID
    stands for no technician."""

    __tablename__ = "ticket_counts"

    status: Mapped[TicketStatus] = mapped_column(STATUS, primary_key=True)
    priority: Mapped[TicketPriority] = mapped_column(PRIORITY, primary_key=True)
    category: Mapped[TicketCategory] = mapped_column(CATEGORY, primary_key=True)
    technician_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    n: Mapped[int] = mapped_column(BigInteger)


class ServiceTicketCountRow(Base):
    """The same for the tickets that services have created, by creator too, as of `event_log.service_counted`."""

    __tablename__ = "service_ticket_counts"

    creator_id: Mapped[str] = mapped_column(primary_key=True)
    creator_kind: Mapped[ActorKind] = mapped_column(ACTOR_KIND, primary_key=True)
    status: Mapped[TicketStatus] = mapped_column(STATUS, primary_key=True)
    priority: Mapped[TicketPriority] = mapped_column(PRIORITY, primary_key=True)
    category: Mapped[TicketCategory] = mapped_column(CATEGORY, primary_key=True)
    technician_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    n: Mapped[int] = mapped_column(BigInteger)


class DeliveryRow(Base):
    """The queue of deliveries: one row for each event, channel and recipient, written together with the event.

    `recipient` is an e-mail address, the key of a push subscription, or empty for a channel with a single destination.
    A PENDING row may be attempted
    from `due_at` on. A worker claims it until `claimed_until`, after which another may take it, should the first have
    died. It is given up a set time after `queued_at`. `said` is the result of the last attempt, such as a mail server's
    answer.
    `event_id` is not a foreign key, because an event may be pruned while its deliveries remain; that of a
    CONFIRM_ADDRESS delivery is the id of the confirmation that it asks for.

    `screened_at` is when the delivery passed the limits (`notifiers/screening.py`); it is not sent before. A HELD row
    is dropped from `due_at` on. `summary_id` is the delivery in whose summary this one is; the summary's own has its
    own id. `acknowledged_at` is when the device of a PUSH delivery has said that it has the notice.
    """

    __tablename__ = "deliveries"
    __table_args__ = (
        CheckConstraint("(channel = 'GOOGLE_CHAT') = (recipient = '')", name="only_chat_has_no_recipient"),
        CheckConstraint("(audience = 'SPACE') = (channel = 'GOOGLE_CHAT')", name="space_has_its_channel"),
        CheckConstraint("(audience = 'TECHNICIAN') = (technician_id IS NOT NULL)", name="technician_has_id"),
        CheckConstraint("(state IN ('PENDING', 'HELD')) = (finished_at IS NULL)", name="finished_has_time"),
        CheckConstraint("state = 'PENDING' OR claimed_until IS NULL", name="finished_is_free"),
        CheckConstraint("attempts >= 0", name="attempts_not_negative"),
        at_most("recipient", limits.EMAIL_MAX),
        at_most("said", limits.SAID_MAX),
        Index("uq_deliveries_event_id_channel_recipient", "event_id", "channel", text("lower(recipient)"), unique=True),
        # A row is in the first of these until it is screened, and then in the second, so writing it costs only one.
        Index("ix_deliveries_fresh", "due_at", postgresql_where=text("state = 'PENDING' AND screened_at IS NULL")),
        Index(
            "ix_deliveries_due",
            "channel",
            "due_at",
            "id",
            postgresql_where=text("state = 'PENDING' AND screened_at IS NOT NULL"),
        ),
        Index("ix_deliveries_held", "due_at", postgresql_where=text("state = 'HELD' AND summary_id IS NULL")),
        Index("ix_deliveries_summary_id", "summary_id", postgresql_where=text("summary_id IS NOT NULL")),
        Index(
            "ix_deliveries_screened",
            text("lower(recipient)"),
            "screened_at",
            postgresql_where=text("kind = 'CREATED' AND channel = 'EMAIL' AND screened_at IS NOT NULL"),
        ),
        Index("ix_deliveries_ticket_id_created_at_id", "ticket_id", "created_at", "id"),
        Index("ix_deliveries_created_at_id", "created_at", "id"),
        Index("ix_deliveries_state_created_at_id", "state", "created_at", "id"),
        Index("ix_deliveries_recipient_created_at_id", text("lower(recipient)"), "created_at", "id"),
        Index("ix_deliveries_finished_at", "finished_at", postgresql_where=text("finished_at IS NOT NULL")),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, server_default=text("gen_random_uuid()"))
    event_id: Mapped[uuid.UUID]
    ticket_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("tickets.id"))
    note_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("notes.id"))
    technician_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("technicians.id"))
    kind: Mapped[NoticeKind] = mapped_column(NOTICE_KIND)
    channel: Mapped[DeliveryChannel] = mapped_column(CHANNEL)
    audience: Mapped[Audience] = mapped_column(AUDIENCE)
    recipient: Mapped[str]
    recipient_name: Mapped[str]
    actor_name: Mapped[str]
    state: Mapped[DeliveryState] = mapped_column(DELIVERY_STATE, server_default=DeliveryState.PENDING)
    attempts: Mapped[int] = mapped_column(server_default=text("0"))
    said: Mapped[str | None]
    created_at: Mapped[datetime]  # the time of the event
    queued_at: Mapped[datetime] = mapped_column(server_default=NOW)
    due_at: Mapped[datetime] = mapped_column(server_default=NOW)
    claimed_until: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    screened_at: Mapped[datetime | None]
    summary_id: Mapped[uuid.UUID | None]
    acknowledged_at: Mapped[datetime | None]


class PushSubscriptionRow(Base):
    """A device that is notified by Web Push, at the URL `endpoint` of its push service (RFC 8030), with the keys that
    its browser has made (RFC 8291).

    `owner` is the role and id of the viewer who has set it, `TECHNICIAN:…`, and `device_id` what their client calls the
    device. `subjects` has the names by which a revocation of tokens may mean the owner. `set_at` is when the client
    last said that the subscription is there. `renewed_at` is when a token of a technician or admin was last seen,
    within a day or so; null if their access ends here by itself, because they have signed in here, and for customers.
    """

    __tablename__ = "push_subscriptions"
    __table_args__ = (
        present("device_id", limits.DEVICE_ID_MAX),
        present("endpoint", limits.URL_MAX),
        CheckConstraint("octet_length(p256dh) = 65", name="p256dh_is_point"),
        CheckConstraint("octet_length(auth) = 16", name="auth_size"),
        UniqueConstraint("owner", "device_id"),
        UniqueConstraint("endpoint"),
        Index("ix_push_subscriptions_set_at", "set_at"),
        Index("ix_push_subscriptions_renewed_at", "renewed_at"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    owner: Mapped[str] = mapped_column(Text(collation="C"))
    device_id: Mapped[str]
    endpoint: Mapped[str] = mapped_column(Text(collation="C"))
    p256dh: Mapped[bytes] = mapped_column(BYTEA)
    auth: Mapped[bytes] = mapped_column(BYTEA)
    subjects: Mapped[list[str]] = mapped_column(ARRAY(Text))
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    set_at: Mapped[datetime] = mapped_column(server_default=NOW)
    renewed_at: Mapped[datetime | None]


class DeliveryEventRow(Base):
    """A log of what becomes of deliveries: a row for each change of one's state, or of the result of its last attempt,
    which a trigger writes. `state` is the state after the change. `xid` is the transaction that wrote the row, as in
    `ticket_events`: the changes after a position are streamed in the same way.

    Neither id is a foreign key. The delivery may be deleted before, and what is streamed of it is then left out.
    """

    __tablename__ = "delivery_events"
    __table_args__ = (Index("ix_delivery_events_xid", "xid"),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, server_default=text("gen_random_uuid()"))
    xid: Mapped[str] = mapped_column(Xid8, server_default=text("pg_current_xact_id()"))
    at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))
    delivery_id: Mapped[uuid.UUID]
    ticket_id: Mapped[uuid.UUID]
    state: Mapped[DeliveryState] = mapped_column(DELIVERY_STATE)


class ContactConfirmationRow(Base):
    """A contact's address that somebody was asked to confirm, or that staff have entered.

    It counts for the ticket, and for all tickets of `customer_id`, the customer who typed the address. `address` is in
    lower case. `token` is in the link that confirms it until `expires_at`; null if staff have entered the address.
    `caller` caused the mail, `mailbox` is the digest of the address's form that all its spellings share, and `domain`
    that of its domain: the limits count them.
    """

    __tablename__ = "contact_confirmations"
    __table_args__ = (
        present("address", limits.EMAIL_MAX),
        CheckConstraint("token IS NOT NULL OR confirmed_at IS NOT NULL", name="asked_or_confirmed"),
        UniqueConstraint("token"),
        Index("ix_contact_confirmations_address", "address"),
        Index("ix_contact_confirmations_ticket_id", "ticket_id"),
        Index("ix_contact_confirmations_mailbox_asked_at", "mailbox", "asked_at"),
        Index("ix_contact_confirmations_caller_asked_at", "caller", "asked_at"),
        Index("ix_contact_confirmations_domain_asked_at", "domain", "asked_at"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    ticket_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("tickets.id"))
    customer_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("customers.id"))
    address: Mapped[str]
    token: Mapped[str | None] = mapped_column(Text(collation="C"))
    mailbox: Mapped[bytes | None] = mapped_column(BYTEA)
    caller: Mapped[str | None]
    asked_at: Mapped[datetime] = mapped_column(server_default=NOW)
    expires_at: Mapped[datetime] = mapped_column(server_default=NOW)
    confirmed_at: Mapped[datetime | None]
    domain: Mapped[bytes | None] = mapped_column(BYTEA)


class InboundMessageRow(Base):
    """An inbound message and its outcome.

    `key` identifies the message: a second one with the same key is a duplicate. `content` is a digest of the message's
    contents, which confirms a duplicate and recognises a robot that repeats itself. `raw` is the message as it arrived,
    and cut off if it is huge; `size` is its full length in bytes. After a time `raw` is dropped, but not while the
    message is kept aside. `recipients` are the addresses in To and Cc, without our own, in lower case. `text` is what
    the message says, if it was ignored or kept aside.
    """

    __tablename__ = "inbound_messages"
    __table_args__ = (
        UniqueConstraint("key"),
        at_most("message_id", limits.MESSAGE_ID_MAX),
        at_most("from_address", limits.EMAIL_MAX),
        at_most("from_name", limits.NAME_MAX),
        at_most("subject", limits.SUBJECT_MAX),
        at_most("reason", limits.REASON_MAX),
        CheckConstraint("outcome <> 'DUPLICATE'", name="once"),
        CheckConstraint("(outcome IN ('TICKET_CREATED', 'NOTE_ADDED')) = (ticket_id IS NOT NULL)", name="has_ticket"),
        CheckConstraint("(outcome = 'NOTE_ADDED') = (note_id IS NOT NULL)", name="has_note"),
        CheckConstraint("outcome <> 'KEPT_ASIDE' OR raw IS NOT NULL", name="kept_aside_is_kept"),
        CheckConstraint("outcome NOT IN ('IGNORED', 'KEPT_ASIDE') OR reason IS NOT NULL", name="has_reason"),
        at_most("text", limits.MAIL_TEXT_MAX),
        CheckConstraint(f"cardinality(recipients) <= {limits.MAIL_RECIPIENTS_MAX}", name="recipients_count"),
        Index("ix_inbound_messages_message_id", "message_id"),
        Index(
            "ix_inbound_messages_ignored",
            text("coalesce(lower(from_address), '')"),
            "received_at",
            postgresql_where=text("outcome = 'IGNORED'"),
        ),
        Index("ix_inbound_messages_content_received_at", "content", "received_at"),
        Index("ix_inbound_messages_received_at_id", "received_at", "id"),
        Index("ix_inbound_messages_outcome_received_at_id", "outcome", "received_at", "id"),
        Index("ix_inbound_messages_ticket_id", "ticket_id"),
        Index(
            "ix_inbound_messages_raw",
            "received_at",
            postgresql_where=text("raw IS NOT NULL AND outcome <> 'KEPT_ASIDE'"),
        ),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    received_at: Mapped[datetime] = mapped_column(server_default=NOW)
    key: Mapped[bytes] = mapped_column(BYTEA)
    content: Mapped[bytes] = mapped_column(BYTEA)
    message_id: Mapped[str | None] = mapped_column(Text(collation="C"))
    from_address: Mapped[str | None]
    from_name: Mapped[str | None]
    subject: Mapped[str | None]
    size: Mapped[int]
    outcome: Mapped[InboundOutcome] = mapped_column(INBOUND_OUTCOME)
    reason: Mapped[str | None]
    ticket_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("tickets.id"))
    note_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("notes.id"))
    raw: Mapped[bytes | None] = mapped_column(BYTEA)
    recipients: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=text("'{}'"))
    text: Mapped[str | None]


class AuditEntryRow(Base):
    """The audit trail: one row for each change of a customer, property, technician, article, API key, token, identity
    or the settings, written in the transaction of the change (`resolvers/audit.py`).

    `object_id` is the object's global id (`cus_…`), a token's subject, or null for the settings. `actor_id` is the
    subject of the actor's token, or the id of their API key. `client` is the address that the request came from.
    `changed` names the columns that the change has changed, and `before` and `after` have the columns of the object,
    without secrets; `before` is null for a creation. `xid` is the transaction that wrote the row, as in
    `ticket_events`: the entries after a position are streamed in the same way.

    A trigger refuses every change, by the function that protects notes and events (`refuse_change`), so an erasure may
    rewrite an entry. Another refuses to delete entries, except in a transaction that has executed
    `SET LOCAL callout.pruning = 'audit_entries'`: retention may delete those that are older than a day.
    `event_log.audit_horizon` then moves past them, so that a stream does not resume from a cursor before them.
    """

    __tablename__ = "audit_entries"
    __table_args__ = (
        at_most("object_id", limits.OBJECT_ID_MAX),
        at_most("client", limits.CLIENT_MAX),
        CheckConstraint(f"cardinality(changed) <= {limits.AUDITED_CHANGES_MAX}", name="changed_count"),
        Index("ix_audit_entries_xid", "xid"),
        Index("ix_audit_entries_at_id", "at", "id"),
        Index("ix_audit_entries_object_id_at_id", "object_id", "at", "id"),
        Index("ix_audit_entries_actor_id_at_id", "actor_id", "at", "id"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    xid: Mapped[str] = mapped_column(Xid8, server_default=text("pg_current_xact_id()"))
    # Not the transaction's start: the changes of an object are in the order of their times.
    at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))
    action: Mapped[AuditAction] = mapped_column(AUDIT_ACTION)
    object_kind: Mapped[AuditObjectKind] = mapped_column(AUDIT_OBJECT_KIND)
    object_id: Mapped[str | None] = mapped_column(Text(collation="C"))
    actor_kind: Mapped[ActorKind] = mapped_column(ACTOR_KIND)
    actor_id: Mapped[str] = mapped_column(Text(collation="C"))
    actor_name: Mapped[str]
    client: Mapped[str | None]
    changed: Mapped[list[str]] = mapped_column(ARRAY(Text))
    before: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    after: Mapped[dict[str, Any] | None] = mapped_column(JSONB)


class WebhookRow(Base):
    """A webhook: a subscription whose messages are posted to a URL.

    It reads with the rights of its author, who is an admin or a service (`author_role`); `author_names` are the names
    by which a revocation of tokens may mean them, `api_key_id` is their key, if they have used one, and `authorized_at`
    is when they last answered for the webhook with a token that was valid. `renewed_at` is when a token of theirs was
    last seen, within a day or so; null if their access ends here by itself, with their API key or their row of
    `admins`. `warned_at` is when they were last warned that they have shown none for long, at `author_email` if it is
    known. `variables` is a JSON object. `secret` signs the messages, and `previous_secret` too until `previous_until`.

    `position` is where the stream stands (`StreamPosition`): every message before it has been acknowledged. One worker
    carries the webhook, as long as its row in `webhook_workers` is alive. `claim` grows whenever another worker takes
    the webhook and whenever somebody changes it, so that a worker that does not know yet can record nothing.

    `failing_since` is when the first of the latest `failures` in a row was. `notice_due_at` is when people are to be
    notified: the admins that the webhook was suspended, or its author that it will be; null once they have been.
    """

    __tablename__ = "webhooks"
    __table_args__ = (
        present("url", limits.URL_MAX),
        at_most("document", limits.WEBHOOK_DOCUMENT_MAX),
        at_most("variables", limits.WEBHOOK_VARIABLES_MAX),
        at_most("suspended_said", limits.SAID_MAX),
        CheckConstraint("author_role IN ('ADMIN', 'SERVICE')", name="author_may"),
        CheckConstraint("(state = 'SUSPENDED') = (suspension IS NOT NULL)", name="suspended_has_reason"),
        CheckConstraint("(state = 'SUSPENDED') = (suspended_at IS NOT NULL)", name="suspended_has_time"),
        CheckConstraint("(failures > 0) = (failing_since IS NOT NULL)", name="failing_has_time"),
        Index("ix_webhooks_created_at_id", "created_at", "id"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    updated_at: Mapped[datetime] = mapped_column(server_default=NOW)
    url: Mapped[str]
    document: Mapped[str]
    variables: Mapped[str]
    secret: Mapped[bytes] = mapped_column(BYTEA)
    previous_secret: Mapped[bytes | None] = mapped_column(BYTEA)
    previous_until: Mapped[datetime | None]
    author_role: Mapped[ActorKind] = mapped_column(ACTOR_KIND)
    author_id: Mapped[str]
    author_name: Mapped[str]
    author_names: Mapped[list[str]] = mapped_column(ARRAY(Text))
    author_scope: Mapped[ServiceScope | None] = mapped_column(SERVICE_SCOPE)
    author_time_zone: Mapped[str]
    author_email: Mapped[str | None]
    api_key_id: Mapped[uuid.UUID | None]
    authorized_at: Mapped[datetime] = mapped_column(server_default=NOW)
    renewed_at: Mapped[datetime | None]
    warned_at: Mapped[datetime | None]
    state: Mapped[WebhookState] = mapped_column(WEBHOOK_STATE, server_default=WebhookState.ACTIVE)
    suspension: Mapped[WebhookSuspension | None] = mapped_column(WEBHOOK_SUSPENSION)
    suspended_said: Mapped[str | None]
    suspended_at: Mapped[datetime | None]
    notice_due_at: Mapped[datetime | None]
    position: Mapped[str]
    claim: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    worker_id: Mapped[uuid.UUID | None]
    failures: Mapped[int] = mapped_column(server_default=text("0"))
    failing_since: Mapped[datetime | None]
    next_attempt_at: Mapped[datetime | None]
    acknowledged_at: Mapped[datetime | None]


class WebhookWorkerRow(Base):
    """A process that carries webhooks, until `alive_until`, which it moves on while it lives."""

    __tablename__ = "webhook_workers"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    alive_until: Mapped[datetime]


class WebhookDeliveryRow(Base):
    """An attempt to post a message. Bodies are not stored, neither ours nor the receiver's: `said` is a text of our
    own.

    `message_id` is that of the message, the same on each attempt. `cursor` is its stream cursor, sealed. `webhook_id`
    is not a foreign key, because a webhook may be deleted while its deliveries remain.
    """

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        at_most("said", limits.SAID_MAX),
        Index("ix_webhook_deliveries_at_id", "at", "id"),
        Index("ix_webhook_deliveries_webhook_id_at_id", "webhook_id", "at", "id"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    webhook_id: Mapped[uuid.UUID]
    message_id: Mapped[uuid.UUID]
    kind: Mapped[WebhookMessageKind] = mapped_column(WEBHOOK_MESSAGE_KIND)
    outcome: Mapped[WebhookOutcome] = mapped_column(WEBHOOK_OUTCOME)
    attempt: Mapped[int]
    status: Mapped[int | None]
    said: Mapped[str]
    cursor: Mapped[str | None]
    at: Mapped[datetime] = mapped_column(server_default=NOW)
    milliseconds: Mapped[int]
