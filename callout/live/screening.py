"""Which technicians an entry of the audit trail concerns: tickets decide that, so one statement asks it for all
technicians who follow the objects, instead of one for each."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from db.object_changes import ObjectChanges, seen_by_technicians
from db.postgres.pool import Database

PAIRS_MAX: Final = 20_000  # of an entry and a technician in one statement


class Screenings:
    """One for each process. What is asked at the same moment about a stream shares its statements."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._rounds: dict[ObjectChanges, _Round] = {}

    async def seen_by(self, technician: str, stream: ObjectChanges, entries: Sequence[str]) -> list[str]:
        """Returns the entries (ids), in order, that are about objects which the technician sees. Raises the database's
        errors."""
        round = self._rounds.get(stream)
        if round is None:
            round = self._rounds[stream] = _Round()
            round.task = asyncio.create_task(self._ask(stream, round))
        round.entries |= dict.fromkeys(entries)
        round.technicians |= {technician: None}
        assert round.task is not None
        seen = await asyncio.shield(round.task)  # whoever leaves does not end it for the others
        return [entry for entry in entries if (entry, technician) in seen]

    async def _ask(self, stream: ObjectChanges, round: _Round) -> set[tuple[str, str]]:
        """Returns the pairs of an entry and a technician who sees its object. It starts after the tasks that were ready
        when the first of them asked."""
        del self._rounds[stream]
        entries, technicians = list(round.entries), list(round.technicians)
        at_once = max(1, PAIRS_MAX // len(technicians))
        seen: set[tuple[str, str]] = set()
        for start in range(0, len(entries), at_once):
            some = entries[start : start + at_once]
            pairs = await seen_by_technicians(self._database, stream, some, technicians)
            seen |= {(entry, technicians[n]) for entry, n in pairs}
        return seen


class _Round:
    """What is asked together: entries and technicians, without repetition."""

    def __init__(self) -> None:
        self.entries: dict[str, None] = {}
        self.technicians: dict[str, None] = {}
        self.task: asyncio.Task[set[tuple[str, str]]] | None = None
