"""The live connections of a process, whatever they speak: how many a viewer may have, and how long they may stay.

Each `watch` seconds it is checked whose token has run out, who has gone silent, and whose viewer is no longer let in.
"""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from typing import Final

from db.viewer import Viewer

CONNECTIONS_MAX: Final = 50  # of one viewer


@dataclass(frozen=True, slots=True)
class Times:
    """How long is waited for what, in seconds. `callout/settings.py` has the values."""

    init: float
    """For `connection_init` to come over a WebSocket."""

    admission: float
    """For a token to be checked."""

    ping: float
    """Of silence, before the server asks whether anybody is there."""

    silence: float
    """After which nobody is."""

    beat: float
    """Of silence, before a stream of server-sent events gets a comment, so that no proxy takes it for dead."""

    watch: float
    """Between two checks of all connections."""


@dataclass(frozen=True, slots=True, eq=False)
class Session:
    """Whom a token has let in: as long as it is good, and as long as its viewer is (`by_key`: an API key is)."""

    viewer: Viewer
    expires_at: float | None
    by_key: bool

    @property
    def expired(self) -> bool:
        return self.expires_at is not None and time.time() > self.expires_at


class LiveConnection(ABC):
    session: Session | None = None

    @abstractmethod
    def check(self, now: float) -> None:
        """Ends what must not go on for ever; `now` is the monotonic clock's."""

    @abstractmethod
    def forbid(self) -> None:
        """Its viewer is no longer let in."""


class Connections:
    """One for each process. `watch()` it as long as the process serves."""

    def __init__(
        self, gone: Callable[[Collection[Session]], Awaitable[Collection[Session]]], watch_seconds: float
    ) -> None:
        """`gone`: which of the sessions' viewers are no longer let in."""
        self._gone = gone
        self._watch_seconds = watch_seconds
        self._open: set[LiveConnection] = set()
        self._of_viewer: Counter[Viewer] = Counter()

    def enter(self, connection: LiveConnection) -> None:
        self._open.add(connection)

    def admit(self, connection: LiveConnection, session: Session) -> bool:
        """Makes it the viewer's, unless they have as many as they may, or it has left already."""
        if self._of_viewer[session.viewer] >= CONNECTIONS_MAX or connection not in self._open:
            return False
        self._of_viewer[session.viewer] += 1
        connection.session = session
        return True

    def leave(self, connection: LiveConnection) -> None:
        self._open.discard(connection)
        if connection.session is not None:
            self._of_viewer[connection.session.viewer] -= 1
            self._of_viewer += Counter()  # drops those that have none left

    async def watch(self) -> None:
        while True:
            await asyncio.sleep(self._watch_seconds)
            now = time.monotonic()
            for connection in list(self._open):
                connection.check(now)
            sessions = {each.session: each for each in self._open if each.session is not None}
            for session in await self._gone(sessions):
                sessions[session].forbid()
