"""What a group of subscribers shares: the same document, variables and rights, so the same messages.

The application makes feeds (`callout/live/feeds.py`); the hub hands the same feed's messages to all who have it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from datetime import datetime

from db.enums import StreamResetReason


@dataclass(frozen=True, slots=True)
class Message:
    """An event as a feed tells it: the payload of a `next` message, JSON, in which `CURSOR` is still to be put."""

    event: str
    at: datetime
    payload: bytes


class Feed(ABC):
    """`key`: of equal feeds one is enough. `routes`: every event that can concern it has one of them. `at_once`: how
    many events it is asked about at a time; what it has to say of them is held in memory."""

    key: Hashable
    routes: frozenset[str]
    at_once: int

    @abstractmethod
    async def of(self, events: Sequence[str]) -> list[Message]:
        """What it has to say of these events, in order. Raises what the database does."""

    @abstractmethod
    def with_cursor(self, payload: bytes, cursor: str) -> bytes: ...

    @abstractmethod
    async def ready(self, cursor: str) -> bytes:
        """The payload that says that everything missed has been told. Raises what the database does."""

    @abstractmethod
    def reset(self, reason: StreamResetReason, cursor: str) -> bytes:
        """The payload that says that a cursor cannot be honoured."""
