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
    status: str | None
    priority: str | None
    category: str | None
    source: str | None
    creator_id: str | None
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

READ: Final = "event.id::text, event.at, event.ticket_id::text, event.kind, event.public, image_before, image_after"
"""SQL for the columns of `event`, a row of the event log, that `Event.of` takes; `IMAGES` has to be joined to it."""

IMAGES: Final = f"""CROSS JOIN LATERAL jsonb_to_record(event.before) AS image_before({_COLUMNS})
    CROSS JOIN LATERAL jsonb_to_record(event.after) AS image_after({_COLUMNS})"""
"""SQL that joins the two images to `event`. If there is no image, every column is null."""


AUDIT_ROUTE: Final = "audit"
"""The route of the entries of the audit trail. Of these only the ids are read: they are few, so the streams' statement
decides about each."""


@dataclass(frozen=True, slots=True)
class Event:
    """A row of the event log. `before` is None for a creation; `public` is false for an internal note."""

    id: str
    ticket_id: str
    kind: str
    public: bool
    before: Image | None
    after: Image

    @classmethod
    def of(cls, row: Any) -> Self:
        """The event of a record with the columns `READ`."""
        before, after = Image(*row["image_before"]), Image(*row["image_after"])
        return cls(row["id"], row["ticket_id"], row["kind"], row["public"], before if before.id else None, after)

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
