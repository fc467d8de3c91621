"""The messages about presence in a stream, for those who see the ticket and whose document selects them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import orjson

from callout.execution.budgets import Budget
from callout.execution.cost import STATEMENT
from callout.execution.in_memory import selected
from callout.live.feed_parts import before
from db.compiler.fields import Constant
from db.compiler.selection import Selection
from db.entities import TICKET
from db.enums import STAFF, Role
from db.viewer import Viewer
from pubsub.presence import Present
from pubsub.presence_watch import PresencePayloads
from resolvers.presence import shown
from resolvers.staff_presence import StaffPresence

MESSAGE: Final = "TicketPresence"
"""The name of the messages' type."""


def presence_payloads(
    root: Selection, viewer: Viewer, budget: Budget, presence: StaffPresence
) -> PresencePayloads | None:
    """Returns how the messages of a subscription are made; None if it has none, because its document selects nothing of
    them but their type, or because they are not for the viewer."""
    fields = root.types.get(MESSAGE, ())
    if viewer.role not in STAFF or all(isinstance(field.mapping, Constant) for field in fields):
        return None
    return TicketPresencePayloads(root, viewer, budget, presence)


class TicketPresencePayloads(PresencePayloads):
    """All admins see all tickets. For a technician it is asked for each message, because they can lose a ticket at any
    time."""

    def __init__(self, root: Selection, viewer: Viewer, budget: Budget, presence: StaffPresence) -> None:
        self._before = before(root)
        self._fields = root.types[MESSAGE]
        self._viewer = viewer
        self._budget = budget
        self._presence = presence

    async def about(self, tickets: Mapping[str, Sequence[Present]]) -> dict[str, bytes]:
        seen = set(tickets)
        if self._viewer.role is not Role.ADMIN:
            self._budget.owe(STATEMENT)
            seen = await self._presence.seen(self._viewer, tickets)
        return {ticket: self._payload(ticket, on) for ticket, on in tickets.items() if ticket in seen}

    def _payload(self, ticket: str, on: Sequence[Present]) -> bytes:
        values = {"ticketId": f"{TICKET.prefix}_{ticket}", "present": [shown(each) for each in on]}
        return self._before + orjson.dumps(selected(self._fields, values)) + b"}}"
