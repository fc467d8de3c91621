"""Turns in which the webhooks of a process read the database."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager


class Turns:
    """At most `at_once` look-ups at a time. Authors take turns, however many webhooks they have, and none has all of
    the look-ups: one whose webhooks are slow to read holds up nobody else's."""

    def __init__(self, at_once: int) -> None:
        self._free = at_once
        self._most_of_author = max(1, at_once - 1)
        self._held: Counter[Hashable] = Counter()
        self._waiting: dict[Hashable, deque[asyncio.Future[None]]] = {}  # the author whose turn is next comes first

    @asynccontextmanager
    async def of(self, author: Hashable) -> AsyncIterator[None]:
        """Waits for a turn of the author's, which lasts for the block."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(author, deque()).append(turn)
        self._give()
        try:
            await turn
            yield
        finally:
            if turn.cancelled():
                self._forget(author, turn)
            else:
                self._take_back(author)

    def _give(self) -> None:
        """Gives turns to authors who wait, for as long as there are any."""
        while self._free:
            author = next((each for each in self._waiting if self._held[each] < self._most_of_author), None)
            if author is None:
                return
            turn = self._waiting[author].popleft()
            if turns := self._waiting.pop(author):
                self._waiting[author] = turns  # at the end
            self._free -= 1
            self._held[author] += 1
            turn.set_result(None)

    def _forget(self, author: Hashable, turn: asyncio.Future[None]) -> None:
        turns = self._waiting[author]
        turns.remove(turn)
        if not turns:
            del self._waiting[author]

    def _take_back(self, author: Hashable) -> None:
        self._free += 1
        self._held[author] -= 1
        if not self._held[author]:
            del self._held[author]
        self._give()
