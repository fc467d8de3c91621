"""Events in memory: what a process reads of each new event, to find the streams that it can concern.

The images are reduced to the columns by which streams are routed and filtered. A criterion whose column is not among
them cannot be tested in memory (`db/lists/in_memory.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple, Self


class Image(NamedTuple):
    """A ticket's row before or after an event. A column is None where the row has none, or where the column is newer
    than the event."""

    id: str
    reference: str | None
    status: str | None
    priority: str | None
    category: str | None
    source: str | None
    creator_id: str | None
    creator_kind: str | None
    customer_id: str | None
    property_id: str | None
    technician_id: str | None
    created_at: datetime | None
    updated_at: datetime | None
    public_updated_at: datetime | None
    assignment_state: str | None
    assignment_overdue: bool | None


def _type_of(name: str) -> str:
    if name == "assignment_overdue":
        return "boolean"
    return "timestamptz" if name.endswith("_at") else "text"


_COLUMNS: Final = ", ".join(f"{name} {_type_of(name)}" for name in Image._fields)

READ: Final = """event.id::text, event.at, event.xid::text::bigint AS xid, event.ticket_id::text, event.kind,
    event.public, image_before, image_after"""
"""SQL for the columns of `event`, a row of the event log, that `Event.of` takes; `IMAGES` has to be joined to it."""

IMAGES: Final = f"""CROSS JOIN LATERAL jsonb_to_record(event.before) AS image_before({_COLUMNS})
    CROSS JOIN LATERAL jsonb_to_record(event.after) AS image_after({_COLUMNS})"""
"""SQL that joins the two images to `event`. If there is no image, every column is null."""


AUDIT_ROUTE: Final = "audit"
"""The route of all entries of the audit trail."""

_OBJECTS: Final = frozenset({"CUSTOMER", "PROPERTY", "TECHNICIAN", "ARTICLE"})
_CHANGES: Final = frozenset({"CREATED", "UPDATED", "ERASED"})

ENTRY: Final = """json_build_array(event.id, event.at, event.object_kind, event.action, event.object_id,
    event.after ->> 'customer_id', event.before -> 'published', event.after -> 'published')"""
"""SQL for what `Entry.of` takes of `event`, an entry of the audit trail, as JSON."""

DELIVERY: Final = "json_build_array(event.id, event.at, event.ticket_id)"
"""SQL for what `Entry.of_delivery` takes of `event`, a change of a delivery, as JSON."""


def object_route(object: str) -> str:
    """The route of the changes of an object, by its global id, or of all objects of a kind."""
    return f"object:{object}"


def owner_route(customer: str) -> str:
    """The route of the changes of a customer's properties."""
    return f"owner:{customer}"


def published_route() -> str:
    """The route of the changes of articles that were published before or are afterwards."""
    return "published"


def deliveries_route(ticket: str) -> str:
    """The route of the changes of a ticket's deliveries."""
    return f"deliveries:{ticket}"


class Entry(NamedTuple):
    """An event that is not a ticket's: an entry of the audit trail, or a change of a delivery. No test in memory
    follows its routes: the streams' statements decide about each."""

    id: str
    at: datetime
    routes: frozenset[str]

    @classmethod
    def of(
        cls, id: str, at: str, kind: str, action: str, object_id: str, owner: str | None, *published: bool | None
    ) -> Self:
        """The entry of the audit trail with the values of `ENTRY`."""
        routes = {AUDIT_ROUTE}
        if kind in _OBJECTS and action in _CHANGES:
            routes |= {object_route(kind), object_route(object_id)}
            if kind == "PROPERTY":
                routes.add(owner_route(str(owner)))
            if any(published):
                routes.add(published_route())
        return cls(id, datetime.fromisoformat(at), frozenset(routes))

    @classmethod
    def of_delivery(cls, id: str, at: str, ticket_id: str) -> Self:
        """The change of a delivery with the values of `DELIVERY`."""
        return cls(id, datetime.fromisoformat(at), frozenset({deliveries_route(ticket_id)}))


@dataclass(frozen=True, slots=True)
class Event:
    """A row of the event log. `before` is None for a creation; `public` is false for an internal note; `xid` is the
    transaction that wrote it."""

    id: str
    ticket_id: str
    kind: str
    public: bool
    before: Image | None
    after: Image
    xid: int

    @classmethod
    def of(cls, row: Any) -> Self:
        """The event of a record with the columns `READ`."""
        before, after = Image(*row["image_before"]), Image(*row["image_after"])
        return cls(
            row["id"],
            row["ticket_id"],
            row["kind"],
            row["public"],
            before if before.id else None,
            after,
            row["xid"],
        )

    @property
    def routes(self) -> frozenset[str]:
        """The keys by which the hub finds the streams that the event can concern (`Stream.routes`)."""
        routes = {"all", f"ticket:{self.ticket_id}", f"creator:{self.after.creator_id}"}
        for image in (self.before, self.after):
            if image is not None and image.technician_id is not None:
                routes.add(f"technician:{image.technician_id}")
            if image is not None and image.customer_id is not None:
                routes.add(f"customer:{image.customer_id}")
        return frozenset(routes)
