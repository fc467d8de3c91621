"""The live connections of a process, of any protocol: how many a viewer may have, and when they must end.

Every `watch` seconds all connections are checked for expired tokens, silence, and viewers who have lost access.
"""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from typing import ClassVar, Final

from db.viewer import Issued, Viewer
from pubsub.send_queue import SendQueue

CONNECTIONS_MAX: Final = 50  # of one viewer


@dataclass(frozen=True, slots=True)
class Times:
    """Time limits of live connections, in seconds. `callout/settings.py` has the values."""

    init: float
    """A WebSocket must send `connection_init` within this time."""

    admission: float
    """A WebSocket's token must be checked within this time."""

    ping: float
    """After this much silence of a client, the server sends a `ping`."""

    silence: float
    """After this much silence of a client, the server closes its WebSocket; more than `ping`."""

    beat: float
    """After this much silence, a stream of server-sent events gets a comment, so that proxies keep it open."""

    watch: float
    """The pause between two checks of all connections."""


@dataclass(frozen=True, slots=True, eq=False)
class Session:
    """The viewer that a token has authenticated, until `expires_at` (Unix time; None for an API key, whose expiry can
    change) or until the viewer loses access. `by_key` says whether the token is an API key; `issued` is None then.
    `client` is the address that the connection comes from."""

    viewer: Viewer
    expires_at: float | None
    by_key: bool
    client: str | None = None
    issued: Issued | None = None

    @property
    def expired(self) -> bool:
        return self.expires_at is not None and time.time() > self.expires_at


class LiveConnection(ABC):
    """A WebSocket or a stream of server-sent events, with the messages that wait for its client. `session` is None
    until the viewer is admitted."""

    transport: ClassVar[str]
    queue: SendQueue
    session: Session | None = None

    @abstractmethod
    def check(self, now: float) -> None:
        """Enforces the connection's time limits; `now` is the monotonic clock's time."""

    @abstractmethod
    def forbid(self) -> None:
        """Ends the connection because its viewer has lost access."""


class Connections:
    """The open connections; one for each process. Run `watch()` for as long as the process serves."""

    def __init__(
        self, gone: Callable[[Collection[Session]], Awaitable[Collection[Session]]], watch_seconds: float
    ) -> None:
        """`gone` returns the sessions whose viewers have lost access."""
        self._gone = gone
        self._watch_seconds = watch_seconds
        self._open: set[LiveConnection] = set()
        self._of_viewer: Counter[Viewer] = Counter()
        self._soon = asyncio.Event()

    @property
    def open(self) -> Collection[LiveConnection]:
        return self._open

    def enter(self, connection: LiveConnection) -> None:
        self._open.add(connection)

    def admit(self, connection: LiveConnection, session: Session) -> bool:
        """Assigns the connection to the session's viewer. Returns False if the viewer already has `CONNECTIONS_MAX`, or
        if the connection has already left."""
        if self._of_viewer[session.viewer] >= CONNECTIONS_MAX or connection not in self._open:
            return False
        self._of_viewer[session.viewer] += 1
        connection.session = session
        return True

    def leave(self, connection: LiveConnection) -> None:
        self._open.discard(connection)
        if connection.session is not None:
            self._of_viewer[connection.session.viewer] -= 1
            self._of_viewer += Counter()  # drops viewers without connections, so that the counter does not grow forever

    def check_soon(self) -> None:
        """Has all connections checked at once, because sessions have lost access."""
        self._soon.set()

    async def watch(self) -> None:
        """Checks all connections every `watch_seconds`, forever."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._watch_seconds):
                    await self._soon.wait()
            self._soon.clear()
            now = time.monotonic()
            for connection in list(self._open):
                connection.check(now)
            sessions = {each.session: each for each in self._open if each.session is not None}
            for session in await self._gone(sessions):
                sessions[session].forbid()
