"""Message-IDs of our own mail (RFC 5322, section 3.6.4): the same on every attempt, and containing the ticket's id."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass

_OURS = re.compile(r"<(?:[0-9a-f]{32}\.)?ticket\.([0-9a-f]{32})@([^<>@\s]+)>", re.IGNORECASE)


def of_ticket(ticket_id: str, domain: str) -> str:
    """The root of a ticket's thread. No mail has this Message-ID, but all mail about the ticket refers to it."""
    return f"<ticket.{uuid.UUID(ticket_id).hex}@{domain}>"


def of_delivery(delivery_id: str, ticket_id: str, domain: str) -> str:
    return f"<{uuid.UUID(delivery_id).hex}.ticket.{uuid.UUID(ticket_id).hex}@{domain}>"


def ticket_of(message_id: str, domain: str) -> str | None:
    """Returns the UUID of the ticket that one of our Message-IDs is about, or None if it is not one of ours."""
    match = _OURS.fullmatch(message_id.strip())
    if match is None or match[2].lower() != domain.lower():
        return None
    return str(uuid.UUID(match[1]))


@dataclass(frozen=True, slots=True)
class UnvouchedShare:
    """How many messages of strangers are processed, and as many of known senders whom no mail server vouches for. More
    wait for an admin."""

    an_hour: int = 300
    a_day: int = 2_000


@dataclass(frozen=True, slots=True)
class OwnMail:
    """What is ours in inbound mail: our addresses, in lower case, and the domain of our Message-IDs, by which our own
    mail is recognised; the authserv-ids of the mail servers whose word counts; and the addresses of the lists that lead
    to us, and of our web forms; all of them in lower case too. `unvouched` limits others' mail."""

    addresses: frozenset[str]
    domain: str
    servers: frozenset[str] = frozenset()
    lists: frozenset[str] = frozenset()
    forms: frozenset[str] = frozenset()
    unvouched: UnvouchedShare = UnvouchedShare()

    def ticket_of(self, message_id: str) -> str | None:
        """Returns the UUID of the ticket that one of our Message-IDs is about, or None if it is not one of ours."""
        return ticket_of(message_id, self.domain)
