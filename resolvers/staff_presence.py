"""The staff's presence on tickets, as mutations set it and streams show it: `pubsub/presence.py` with the rights.

Only those who see a ticket may be present on it or learn who is, so each renewal and each message is checked. Those
that come within some milliseconds are checked together: a thousand renewals a second are fifty statements.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from sqlalchemy import BigInteger, Text, bindparam, func, select, true
from sqlalchemy import column as light_column
from sqlalchemy.dialects.postgresql import ARRAY, UUID

from db import models, visibility
from db.entities import TECHNICIAN
from db.enums import STAFF, ActorKind, Role
from db.planner import fence
from db.postgres.pool import Database
from db.postgres.statement import Statement
from db.sql import select_star, table
from db.viewer import Viewer
from db.visibility import ViewerParameter
from pubsub.presence import Presences
from pubsub.presence_messages import Person

GATHERED_SECONDS: Final = 0.02
CHECKED_MAX: Final = 500
"""The most tickets in one statement."""


@dataclass(frozen=True, slots=True)
class _Question:
    """Whether the viewer sees the ticket."""

    viewer_id: str
    ticket: str
    answer: asyncio.Future[bool]


class StaffPresence:
    """One for each process."""

    def __init__(self, presences: Presences, database: Database, log_identity: str) -> None:
        """`log_identity` makes the ids of admins secret, and the same on all servers."""
        self.presences = presences
        self._database = database
        self._secret = log_identity.encode()
        self._waiting: defaultdict[Role, list[_Question]] = defaultdict(list)
        self._checking: set[asyncio.Task[None]] = set()

    def person(self, viewer: Viewer) -> Person:
        """The viewer, a member of the staff, as others may know them: a technician by their id, and an admin, whose
        subject is nobody's business, by one that is made from it."""
        if viewer.role is Role.TECHNICIAN:
            return Person(ActorKind.TECHNICIAN, f"{TECHNICIAN.prefix}_{viewer.id}", viewer.name)
        made = hmac.new(self._secret, viewer.id.encode(), hashlib.sha256).hexdigest()
        return Person(ActorKind.ADMIN, f"adm_{made[:32]}", viewer.name)

    async def sees(self, viewer: Viewer, ticket: str) -> bool:
        """Whether the viewer, a member of the staff, sees the ticket with this key. Raises the database's errors."""
        answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        waiting = self._waiting[viewer.role]
        waiting.append(_Question(viewer.id, ticket, answer))
        if len(waiting) == 1:
            task = asyncio.create_task(self._check(viewer.role))
            self._checking.add(task)
            task.add_done_callback(self._checking.discard)
        return await answer

    async def seen(self, viewer: Viewer, tickets: Collection[str]) -> set[str]:
        """Those of the tickets that the viewer sees."""
        answers = await asyncio.gather(*(self.sees(viewer, ticket) for ticket in tickets))
        return {ticket for ticket, sees in zip(tickets, answers, strict=True) if sees}

    async def _check(self, role: Role) -> None:
        await asyncio.sleep(GATHERED_SECONDS)
        questions = self._waiting.pop(role)
        for start in range(0, len(questions), CHECKED_MAX):
            await self._answer(role, questions[start : start + CHECKED_MAX])

    async def _answer(self, role: Role, questions: list[_Question]) -> None:
        viewers, tickets = [each.viewer_id for each in questions], [each.ticket for each in questions]
        try:
            rows = await _SEEN[role].fetch(self._database, viewers=viewers, tickets=tickets)
        except BaseException as error:
            for each in questions:
                if not each.answer.done():
                    each.answer.set_exception(error)
            if not isinstance(error, Exception):
                raise
            return
        seen = {row[0] for row in rows}
        for number, each in enumerate(questions, 1):
            if not each.answer.done():
                each.answer.set_result(number in seen)


def _seen(role: Role) -> Statement:
    """The numbers, from 1, of those among the pairs of a viewer and a ticket where the viewer sees the ticket."""
    arrays = (bindparam("viewers", type_=ARRAY(Text())), bindparam("tickets", type_=ARRAY(UUID(as_uuid=False))))
    columns = (light_column("viewer", Text()), light_column("ticket", UUID(as_uuid=False)))
    asked = func.unnest(*arrays).table_valued(*columns, with_ordinality="n").render_derived(name="asked")
    tickets = table(models.TicketRow)
    found = fence(select_star(tickets).where(tickets.c.id == asked.c.ticket)).lateral("found")
    visible = visibility.ticket(found, ViewerParameter(role, asked.c.viewer))
    return Statement(select(asked.c.n.cast(BigInteger())).select_from(asked.join(found, true())).where(visible))


_SEEN: Final = {role: _seen(role) for role in STAFF}
