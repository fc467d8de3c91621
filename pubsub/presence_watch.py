"""Delivers presence to the subscribers of a group.

Each message has all the people on one ticket, so that messages can be merged, and a client only replaces what it had.
There is no cursor and no replay: whoever joins gets the present state, of tickets on which somebody is.
"""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from typing import Final, Protocol

from db.metrics import Counter
from db.postgres.outage import is_logged
from db.postgres.pool import OUTAGE
from pubsub.presence import Presences, Present

logger = logging.getLogger(__name__)

MERGING_SECONDS: Final = 0.25
RETRY_SECONDS: Final = 0.5

_DELIVERED: Final = Counter("callout_presence_messages", "Messages about presence, one for each subscriber.")


class Receiver(Protocol):
    """Who gets the messages: a subscriber."""

    def deliver(self, payload: bytes) -> None: ...


class PresencePayloads(ABC):
    """How a group's messages about presence are made."""

    @abstractmethod
    async def about(self, tickets: Mapping[str, Sequence[Present]]) -> dict[str, bytes]:
        """Returns the payloads for those tickets that the group still sees. Raises the database's errors."""


class PresenceWatch:
    """Watches the presence on some tickets for a group. `end` it once the group is empty."""

    def __init__(self, presences: Presences, payloads: PresencePayloads) -> None:
        self._presences = presences
        self._payloads = payloads
        self._members: set[Receiver] = set()
        self._newcomers: set[Receiver] = set()
        self._shown: dict[str, list[Present]] = {}
        """What the members have of each ticket that is watched."""
        self._changed: set[str] = set()
        self._working: asyncio.Task[None] | None = None

    def watch(self, tickets: Collection[str]) -> None:
        """Watches these tickets, and no others. The members have forgotten the others."""
        for ticket in self._shown.keys() - set(tickets):
            self._presences.unwatch(ticket, self._on_change)
            del self._shown[ticket]
            self._changed.discard(ticket)
        for ticket in tickets:
            if ticket not in self._shown:
                self._shown[ticket] = []
                self._presences.watch(ticket, self._on_change)
                self._on_change(ticket)

    def enter(self, receiver: Receiver) -> None:
        """Delivers the present state to a receiver, and all changes after it. It has had what comes before it."""
        self._members.discard(receiver)
        self._newcomers.add(receiver)
        self._work()

    def leave(self, receiver: Receiver) -> None:
        self._members.discard(receiver)
        self._newcomers.discard(receiver)

    def refresh(self) -> None:
        """Delivers what the members do not have although it is not new: they may see a ticket now that they did not see
        before."""
        for ticket, shown in self._shown.items():
            if shown != self._presences.on(ticket):
                self._on_change(ticket)

    def end(self) -> None:
        self.watch(())
        if self._working is not None:
            self._working.cancel()

    def _on_change(self, ticket: str) -> None:
        self._changed.add(ticket)
        self._work()

    def _work(self) -> None:
        if self._working is None:
            self._working = asyncio.create_task(self._run())

    async def _run(self) -> None:
        """Delivers what has changed, and repeats while more has changed meanwhile."""
        try:
            while self._changed or self._newcomers:
                try:
                    await self._turn()
                except OUTAGE as error:
                    if not is_logged(error):
                        logger.warning("cannot deliver presence: %s", error or type(error).__name__)
                    await asyncio.sleep(RETRY_SECONDS)
                else:
                    await asyncio.sleep(MERGING_SECONDS)
        except Exception:
            logger.exception("cannot make a message about presence")
        finally:
            self._working = None

    async def _turn(self) -> None:
        newcomers = self._newcomers.copy()
        there = {ticket for ticket, shown in self._shown.items() if shown} if newcomers else set()
        now = {ticket: self._presences.on(ticket) for ticket in self._changed | there}
        now = {ticket: on for ticket, on in now.items() if ticket in there or on != self._shown[ticket]}
        self._changed.clear()
        try:
            payloads = await self._payloads.about(now) if now else {}
        except BaseException:
            self._changed |= now.keys() & self._shown.keys()
            raise
        newcomers &= self._newcomers
        self._newcomers -= newcomers
        self._members |= newcomers
        for ticket in now.keys() & self._shown.keys():
            payload = payloads.get(ticket)
            if payload is None:
                self._shown[ticket] = []
            else:
                receivers = self._members if now[ticket] != self._shown[ticket] else newcomers
                self._shown[ticket] = now[ticket]
                _DELIVERED.add(amount=len(receivers))
                for receiver in list(receivers):
                    receiver.deliver(payload)
