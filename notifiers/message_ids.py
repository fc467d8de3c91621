"""Message-IDs of our own mail: stable for each delivery, and telling which ticket they are about (RFC 5322, 3.6.4)."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass

_OURS = re.compile(r"<(?:[0-9a-f]{32}\.)?ticket\.([0-9a-f]{32})@([^<>@\s]+)>", re.IGNORECASE)


def of_ticket(ticket_id: str, domain: str) -> str:
    """The root of a ticket's thread. No mail has it itself; all mail on the ticket refers to it."""
    return f"<ticket.{uuid.UUID(ticket_id).hex}@{domain}>"


def of_delivery(delivery_id: str, ticket_id: str, domain: str) -> str:
    return f"<{uuid.UUID(delivery_id).hex}.ticket.{uuid.UUID(ticket_id).hex}@{domain}>"


def ticket_of(message_id: str, domain: str) -> str | None:
    """The ticket's UUID, if this is an id of ours."""
    match = _OURS.fullmatch(message_id.strip())
    if match is None or match[2].lower() != domain.lower():
        return None
    return str(uuid.UUID(match[1]))


@dataclass(frozen=True, slots=True)
class OwnMail:
    """What mail of our own is known by: its addresses, in lower case, and the domain of its Message-IDs."""

    addresses: frozenset[str]
    domain: str

    def ticket_of(self, message_id: str) -> str | None:
        """The ticket that a Message-ID of ours is about, as a UUID."""
        return ticket_of(message_id, self.domain)
