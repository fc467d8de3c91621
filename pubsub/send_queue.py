"""A bounded queue of messages for one client, of any protocol.

Senders never wait for readers: each client has a queue of its own. Load shedding: a client whose queue is full is
disconnected, as is one that does not take a message within `SEND_SECONDS`. It can continue from its last cursor without
losing an event.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable
from typing import Final

from db.metrics import Counter

SEND_SECONDS: Final = 10.0  # the longest time that sending one message may take
QUEUE_MAX: Final = 2_000  # waiting messages
QUEUE_BYTES_MAX: Final = 4 * 2**20  # their total size
UNREAD: Final = "Too slow: messages are not read"

_OVERFLOWS: Final = Counter(
    "callout_send_queue_overflows", "Messages that a full queue did not take; its client was disconnected."
)


class SendQueue:
    """The messages that wait for one client. Any task may put; one writer task sends them, by calling `take`, `sent`
    and `filled` in turn."""

    def __init__(self) -> None:
        self.resting = False  # nothing waits and nothing is being sent
        self._messages: deque[bytes] = deque()
        self._bytes = 0
        self._wake = asyncio.Event()
        self._emptied = asyncio.Event()
        self._sending_since: float | None = None

    def __len__(self) -> int:
        return len(self._messages)

    @property
    def size(self) -> int:
        """The size of the messages that wait, in bytes."""
        return self._bytes

    def put(self, message: bytes) -> bool:
        """Adds a message. Never blocks. Returns False, and drops the message, if the queue is full; then disconnect the
        client. A message larger than `QUEUE_BYTES_MAX` fits if nothing else waits."""
        too_large = self._bytes + len(message) > QUEUE_BYTES_MAX and len(self._messages) > 0
        if too_large or len(self._messages) >= QUEUE_MAX:
            _OVERFLOWS.add()
            return False
        self._messages.append(message)
        self._bytes += len(message)
        self.wake()
        return True

    def clear(self) -> None:
        self._messages.clear()
        self._bytes = 0

    def wake(self) -> None:
        """Wakes the writer, whether or not a message waits."""
        self.resting = False
        self._wake.set()

    def stalled(self, now: float) -> bool:
        """Whether the current message has been sending for more than `SEND_SECONDS`; `now` is the monotonic clock's
        time."""
        return self._sending_since is not None and now - self._sending_since > SEND_SECONDS

    async def drained(self) -> None:
        """Waits until the queue is empty."""
        while self._messages:
            await self._emptied.wait()

    # Called by the writer

    def take(self) -> bytes:
        message = self._messages.popleft()
        self._bytes -= len(message)
        return message

    async def sent(self, sending: Awaitable[None]) -> None:
        """Awaits the sending of a message and measures its time for `stalled`."""
        self._sending_since = time.monotonic()
        await sending
        self._sending_since = None

    async def filled(self) -> None:
        """Waits until a message is put, or until `wake` is called."""
        self._emptied.set()
        self._emptied.clear()  # tasks that already wait in `drained` still wake; later ones wait for the next time
        self._wake.clear()
        self.resting = True
        await self._wake.wait()
