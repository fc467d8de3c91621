"""The audit trail: the type of its entries, and their list. Only admins read it."""

from __future__ import annotations

from datetime import datetime

import strawberry

from db.entities import AUDIT_ENTRIES, AUDIT_ENTRY
from db.enums import ADMINS, ActorKind, AuditAction, AuditObjectKind
from db.limits import AUDITED_CHANGES_MAX
from resolvers import audit
from schema.common import Actor, Connection, Edge, Node
from schema.fields import argument, column, connection, embedded, global_id, items, optional, part
from schema.ticket import DateTimeRange


@strawberry.type(description="A change of one field, in an entry of the audit trail.")
class AuditChange:
    field: str = column("field", "The name of the field, such as `email`, `active` or `googleChatWebhookUrl`.")
    before: str | None = column(
        "before", "The value before the change; null if there was none. In place of a secret it is `(secret)`."
    )
    after: str | None = column("after", "The value after the change, in the same form.")


@strawberry.type(
    description="An entry of the audit trail: a change of a customer, property, technician, article, API key or token, "
    "or of the settings."
)
class AuditEntry(Node):
    id: strawberry.ID = global_id(AUDIT_ENTRY, "The entry's id.")
    at: datetime = column("at", "When the change was made.")
    action: AuditAction = column("action", "What was done.")
    object_kind: AuditObjectKind = column("object_kind", "The kind of object that was changed.")
    object_id: strawberry.ID | None = column(
        "object_id", "The object's id; for a token, its subject; null for the settings, of which there is one object."
    )
    actor: Actor = embedded("actor_", "The person or program that made the change.")
    actor_id: strawberry.ID = column("actor_id", "The subject of the actor's token, or the id of their API key.")
    client: str | None = column(
        "client", "The address that the request came from; null for a change that the command line made."
    )
    changes: list[AuditChange] = items(
        audit.changes,
        "The fields that changed; if the object was created, all that have a value.",
        most=AUDITED_CHANGES_MAX,
    )


@strawberry.type(description="An entry of the audit trail in a list, with its cursor.")
class AuditEntryEdge(Edge):
    node: AuditEntry = part("The entry.")


@strawberry.type(description="A page of entries of the audit trail.")
class AuditEntryConnection(Connection):
    nodes: list[AuditEntry] = part("The entries on this page.")
    edges: list[AuditEntryEdge] = part("The entries on this page, with their cursors.")


@strawberry.input(description="A filter for entries of the audit trail. All conditions must hold.")
class AuditFilter:
    object_kind: list[AuditObjectKind] | None = optional("The object is of one of these kinds.")
    object_id: strawberry.ID | None = optional("The object has this id; or the token, or the tokens, this subject.")
    action: list[AuditAction] | None = optional("The action is one of these.")
    actor_kind: list[ActorKind] | None = optional("The actor is of one of these kinds.")
    actor_id: strawberry.ID | None = optional("The actor has this subject or API key id.")
    at: DateTimeRange | None = optional("The change was made in this range.")


AUDIT_FILTER = argument("filter", AuditFilter | None, "Only entries that match this filter; by default, all.")


@strawberry.type
class AuditQueries:
    audit_entries: AuditEntryConnection = connection(
        AUDIT_ENTRY,
        AUDIT_ENTRIES,
        "The audit trail, newest entries first.",
        arguments=[AUDIT_FILTER],
        roles=ADMINS,
    )
