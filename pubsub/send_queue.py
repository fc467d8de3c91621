"""What waits to be sent to one client, whatever is spoken with it.

Whoever has something to tell never waits for who reads it: each client has a queue of its own, and it is bounded. A
client that lets it fill is cut off, and goes on from its last cursor with nothing lost (backpressure's end of last
resort); so is one to which a message has been on its way for longer than `SEND_SECONDS`.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable
from typing import Final

SEND_SECONDS: Final = 10.0  # that a message may take to leave
QUEUE_MAX: Final = 2_000  # messages that wait for a client
QUEUE_BYTES_MAX: Final = 4 * 2**20  # their bytes
UNREAD: Final = "Too slow: messages are not read"


class SendQueue:
    """Messages, and whoever writes them to the client: one task, by `take`, `sent` and `filled` in turn."""

    def __init__(self) -> None:
        self.resting = False  # nothing waits and nothing is being sent
        self._messages: deque[bytes] = deque()
        self._bytes = 0
        self._wake = asyncio.Event()
        self._emptied = asyncio.Event()
        self._sending_since: float | None = None

    def __len__(self) -> int:
        return len(self._messages)

    def put(self, message: bytes) -> bool:
        """Never blocks. False if the queue is full: then this message and perhaps others are lost."""
        too_large = self._bytes + len(message) > QUEUE_BYTES_MAX and len(self._messages) > 0
        if too_large or len(self._messages) >= QUEUE_MAX:
            return False
        self._messages.append(message)
        self._bytes += len(message)
        self.wake()
        return True

    def clear(self) -> None:
        self._messages.clear()
        self._bytes = 0

    def wake(self) -> None:
        """Lets the writer look, whether or not there is anything."""
        self.resting = False
        self._wake.set()

    def stalled(self, now: float) -> bool:
        """Whether the client does not take what is being sent; `now` is the monotonic clock's."""
        return self._sending_since is not None and now - self._sending_since > SEND_SECONDS

    async def drained(self) -> None:
        """Waits until nothing waits to be sent."""
        while self._messages:
            await self._emptied.wait()

    # The writer's

    def take(self) -> bytes:
        message = self._messages.popleft()
        self._bytes -= len(message)
        return message

    async def sent(self, sending: Awaitable[None]) -> None:
        """Waits until this has left."""
        self._sending_since = time.monotonic()
        await sending
        self._sending_since = None

    async def filled(self) -> None:
        """Waits for a message, or to be woken."""
        self._emptied.set()
        self._emptied.clear()  # for whoever waits now
        self._wake.clear()
        self.resting = True
        await self._wake.wait()
