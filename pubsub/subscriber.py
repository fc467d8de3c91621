"""Subscribers, and their subscriptions as they hold them."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine, Hashable, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import asyncpg

from db.metrics import Counter
from db.postgres.outage import is_logged
from pubsub.quota import Quota
from pubsub.tail import Tail

logger = logging.getLogger(__name__)

DELIVERED: Final = Counter("callout_messages_delivered", "Messages about live events, one for each subscriber.")

T = TypeVar("T")

RETRY_SECONDS: Final = 0.5

UNAVAILABLE: Final = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
)
"""Exceptions that mean that the database is unavailable. A tail that makes no progress raises `TimeoutError` too."""


class Subscriber(ABC):
    """A client's side of one subscription."""

    @abstractmethod
    def deliver(self, payload: bytes) -> None:
        """Sends the payload to the client. Never blocks; a subscriber whose queue is full ends its subscription."""

    @abstractmethod
    async def drained(self) -> None:
        """Waits until the client has taken everything delivered so far, so that a long replay goes at its pace."""

    @property
    def is_behind(self) -> bool:
        """Whether messages that were delivered still wait to be sent."""
        return False

    @abstractmethod
    def fail(self) -> None:
        """Ends the subscription because of an error on our side; the client may try again."""


class SubscriptionHandle:
    """An active subscription. The subscriber calls `end`, once."""

    def __init__(self, tail: Tail, quota: Quota, key: Hashable) -> None:
        self._quota, self._key = quota, key
        self._quota.enter(self._key)
        self.joining: asyncio.Task[None] | None = None
        self.leave: Callable[[], None] = lambda: None
        self.cursor: Callable[[], str | None] = lambda: None
        """Returns the stream cursor of the last message delivered; None if there is none, or the feed is not
        resumable."""
        self.event: Callable[[], str | None] = lambda: None
        """Returns the id of the event of the last message delivered; None if there is none, or the feed is not
        resumable."""
        self._tail = tail
        tail.listen()

    def join(self, joining: Coroutine[Any, Any, None]) -> None:
        """Runs `joining`, instead of what is running."""
        if self.joining is not None:
            self.joining.cancel()
        self.joining = asyncio.create_task(joining)

    def end(self) -> None:
        if self.joining is not None:
            self.joining.cancel()
        self.leave()
        self._tail.leave()
        self._quota.leave(self._key)


@contextmanager
def failing(subscriber: Subscriber) -> Iterator[None]:
    """Ends the subscription if the block fails, so that the client tries again."""
    try:
        yield
    except UNAVAILABLE as error:
        if not is_logged(error):
            logger.warning("cannot replay events: %s", error or type(error).__name__)
        subscriber.fail()
    except Exception:
        logger.exception("cannot start a subscription")
        subscriber.fail()


async def available(look_up: Callable[[], Awaitable[T]], what: str) -> T:
    """What a look-up returns, as soon as the database is available. `what` says in the log what it does."""
    while True:
        try:
            return await look_up()
        except UNAVAILABLE as error:
            if not is_logged(error):
                logger.warning("cannot %s: %s", what, error or type(error).__name__)
            await asyncio.sleep(RETRY_SECONDS)
