"""Carries one webhook: posts its messages in order, and moves its position behind each that was acknowledged.

The next message is sent only after the last one was acknowledged, so a receiver that is down gets all of them later, in
order. A message may be sent again, if a worker dies between the answer and the record of it, but always with the same
`webhook-id`.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, TypeVar
from uuid import UUID, uuid5

import httpx
import orjson

from callout.execution.budgets import Budgets
from callout.live.feeds import EventFeed
from callout.webhooks.pace import WebhookPace
from callout.webhooks.subscriptions import NotASubscription, Subscriptions, WebhookSubscription
from callout.webhooks.turns import Turns
from db.enums import WebhookMessageKind, WebhookSuspension
from db.errors import RateLimited
from db.events.position import Position
from db.events.stream_cursor import Reset, Slice, StreamCursors, StreamPosition, check_position, first_after
from db.metrics import SLOW, Histogram
from db.postgres.outage import is_logged
from db.postgres.pool import OUTAGE, Database
from notifiers.webhook_queue import Attempted, WebhookQueue, author_of
from notifiers.webhook_sender import MESSAGE_BYTES_MAX, Endpoint, Posted, WebhookSender
from pubsub.feed import Message
from pubsub.hub import Hub, Watch
from resolvers import webhook as webhooks

logger = logging.getLogger(__name__)

T = TypeVar("T")

SLICE: Final = 5_000  # events that are read at once, by their ids
AT_ONCE: Final = 20  # events that are looked up at once, whose messages are in memory together
OUTAGE_SECONDS: Final = 1.0  # doubles with each failure: a statement that takes too long is one, too
OUTAGE_SECONDS_MAX: Final = 10.0
FAULT_SECONDS_MAX: Final = 60.0

_LAG: Final = Histogram(
    "callout_webhook_lag_seconds", "How old events were when webhooks had delivered them.", bounds=SLOW
)

NO_ACCESS: Final = {
    WebhookSuspension.ACCESS_LOST: "The webhook's author no longer has access: their API key or their tokens were"
    " revoked or expired.",
    WebhookSuspension.AUTHOR_AWAY: "The webhook's author has not shown a valid token for too long"
    " (CALLOUT_AUTHOR_ABSENCE_DAYS). Whoever resumes it answers for it.",
}
GONE: Final = "The receiver answered 410 Gone."
TOO_LARGE: Final = f"A message is larger than {MESSAGE_BYTES_MAX // 2**20} MiB. Select fewer fields."


@dataclass(frozen=True, slots=True)
class Tools:
    """What all carriers of a process share. `lease` returns for how many seconds the worker is known to live; `turns`
    are those in which carriers read the database."""

    database: Database
    queue: WebhookQueue
    subscriptions: Subscriptions
    budgets: Budgets
    cursors: StreamCursors
    hub: Hub
    sender: WebhookSender
    pace: WebhookPace
    lease: Callable[[], float]
    turns: Turns


class Ended(Exception):
    """The worker no longer has the webhook: another has taken it, somebody has changed it, or it is suspended."""


class Overdue(ConnectionError):
    """The worker could not say in time that it lives, so another may have its webhooks."""


class Carrier:
    """Run it as a task, which ends when the worker no longer has the webhook."""

    def __init__(self, row: Mapping[str, Any], tools: Tools) -> None:
        self.id, self.claim = str(row["id"]), int(row["claim"])
        self._row = row
        self._tools = tools
        self._position = StreamPosition.stored(row["position"])
        self._stored = row["position"]
        self._news = asyncio.Event()
        self._news.set()
        self._busy = False  # also while a message that has failed waits to be sent again
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        watch: Watch | None = None
        try:
            subscription = await self._patiently(self._subscription)
            feed = subscription.feed
            watch = Watch(feed.routes, feed.quick_test, self._wake)
            self._tools.hub.watch(watch)
            await self._patiently(self._tools.hub.awake)
            while True:
                await self._news.wait()
                self._busy = True
                self._news.clear()
                while (pause := await self._patiently(lambda: self._carry(subscription))) is not None:
                    await self._pause(pause)
                self._busy = False
        except Ended:
            return
        finally:
            if watch is not None:
                self._tools.hub.unwatch(watch)

    def stop(self) -> None:
        """Ends the carrier after the message that it is sending, if it is sending one."""
        self._stopping.set()

    @property
    def idle(self) -> bool:
        """Whether every event that it has been woken for has been dealt with."""
        return not (self._busy or self._news.is_set())

    def reached(self, tail: str) -> str | None:
        """If it is idle, moves its position to the tail's, and returns it, unless it is stored."""
        if not self.idle:
            return None
        self._advance(tail)
        text = None if self._position is None else self._position.text
        return None if text == self._stored else text

    def store(self, position: str) -> None:
        """Notes that its position has been stored."""
        self._stored = position

    def _wake(self, before: str | None) -> None:
        if before is not None and self.idle:
            self._advance(before)
        self._news.set()

    def _advance(self, tail: str) -> None:
        position = self._position
        if position is not None and Position.parse(tail).covers(Position.parse(position.end)):
            self._position = StreamPosition(tail)

    async def _patiently(self, work: Callable[[], Awaitable[T]]) -> T:
        """Repeats the work until it succeeds; what it waits for is the database, or its author's budget."""
        failures = 0
        while True:
            try:
                return await work()
            except RateLimited as error:
                pause = error.retry_after + random.random()
            except OUTAGE as error:
                if not is_logged(error):
                    logger.warning("a webhook waits for the database: %s", type(error).__name__)
                pause = min(OUTAGE_SECONDS * 2.0**failures, OUTAGE_SECONDS_MAX) * random.uniform(0.5, 1.0)
                failures += 1
            except Ended:
                raise
            except Exception:
                logger.exception("a webhook fails", extra={"fields": {"webhook": self.id}})
                pause = min(2.0**failures, FAULT_SECONDS_MAX)
                failures += 1
            await self._pause(pause)

    async def _pause(self, seconds: float) -> None:
        """Waits. Raises `Ended` at once if the carrier is stopped."""
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return
        raise Ended

    async def _subscription(self) -> WebhookSubscription:
        author, row, tools = author_of(self._row), self._row, self._tools
        try:
            with tools.budgets.of(author).request() as charge:
                return await tools.subscriptions.read(row["document"], orjson.loads(row["variables"]), author, charge)
        except NotASubscription as error:
            raise await self._suspended(WebhookSuspension.INVALID, error.message) from None

    async def _carry(self, subscription: WebhookSubscription) -> float | None:
        """Sends what there is to send. Returns after how many seconds to try again, or None if there is no more."""
        tools = self._tools
        held = await tools.queue.look(self.id, self.claim)
        if held is None:
            raise Ended
        if held.lost is not None:
            raise await self._suspended(held.lost, NO_ACCESS[held.lost])
        if held.wait > 0:
            return held.wait
        async with tools.sender.connected() as client:
            run = _Run(subscription, client, held.endpoint, held.failures + 1)
            while True:
                events = await self._next_events(subscription.feed)
                pause = await (self._reset(run, events) if isinstance(events, Reset) else self._send_all(run, events))
                if pause is not None:
                    return pause
                if isinstance(events, Slice):
                    if not events.more:
                        self._position = events.end
                        return None
                    await self._skip_to(events.end)

    @asynccontextmanager
    async def _turn(self, feed: EventFeed) -> AsyncIterator[None]:
        """A turn to read the database. Its author's budget must have paid for what was read before."""
        while (owing := feed.overdrawn) > 0:
            await self._pause(owing)
        async with self._tools.turns.of(author_of(self._row).role_and_id):
            yield

    async def _next_events(self, feed: EventFeed) -> Slice | Reset:
        async with self._turn(feed):
            if self._position is None:
                checked = await check_position(None, self._tools.database)
                assert isinstance(checked, Reset)
                return checked
            return await first_after(self._position, self._tools.database, SLICE, feed.logs)

    async def _skip_to(self, position: StreamPosition) -> None:
        if not await self._tools.queue.move(self.id, self.claim, position.text):
            raise Ended
        self._position, self._stored = position, position.text

    async def _suspended(self, why: WebhookSuspension, said: str) -> Ended:
        """Suspends the webhook. Returns the exception that ends the carrier."""
        if await webhooks.suspend(self._tools.database, self.id, self.claim, why, said):
            logger.warning("a webhook is suspended", extra={"fields": {"webhook": self.id, "why": why.value}})
        return Ended()

    async def _send_all(self, run: _Run, events: Slice) -> float | None:
        """Sends the messages about the events. Returns after how many seconds to try again; None if all were
        acknowledged."""
        tools, feed = self._tools, run.subscription.feed

        async def of(ids: Sequence[str]) -> list[Message]:
            async with self._turn(feed):
                return await feed.of(ids)

        async for portion in events.replay.portions(of, min(AT_ONCE, feed.at_once)):
            for position, message in portion:
                cursor = position.sealed(tools.cursors)
                outgoing = _Outgoing(
                    uuid5(UUID(self.id), message.event),
                    WebhookMessageKind.EVENT,
                    run.subscription.of_event(message, cursor),
                    position,
                    cursor,
                )
                pause = await self._send(run, outgoing)
                if pause is not None:
                    return pause
                _LAG.observe((datetime.now(UTC) - message.at).total_seconds())
        return None

    async def _reset(self, run: _Run, reset: Reset) -> float | None:
        """Sends a message that says that events may be missing. Its id comes from the position that could not be used,
        so that it is the same on each attempt."""
        lost = "" if self._position is None else self._position.text
        position = StreamPosition(reset.now)
        cursor = position.sealed(self._tools.cursors)
        body = run.subscription.of_reset(reset.reason, cursor)
        id = uuid5(UUID(self.id), f"reset {lost}")
        return await self._send(run, _Outgoing(id, WebhookMessageKind.RESET, body, position, cursor))

    async def _send(self, run: _Run, message: _Outgoing) -> float | None:
        """Makes one attempt to send a message, and records it. Returns after how many seconds to try again; None if the
        message was acknowledged."""
        if len(message.body) > MESSAGE_BYTES_MAX:
            raise await self._suspended(WebhookSuspension.TOO_LARGE, TOO_LARGE)
        if self._stopping.is_set():
            raise Ended
        posted = await self._within_lease(
            self._tools.sender.post(run.client, run.endpoint, str(message.id), message.body)
        )
        attempted = Attempted(str(message.id), message.kind, run.attempt, message.cursor, posted)
        if not posted.acknowledged:
            return await self._failed(posted, attempted)
        await self._recorded(message.position, attempted)
        run.attempt = 1
        return None

    async def _within_lease(self, posting: Coroutine[Any, Any, Posted]) -> Posted:
        """Gives an attempt up if the worker cannot say that it lives: then another may send."""
        task: asyncio.Task[Posted] = asyncio.ensure_future(posting)
        try:
            while not task.done():
                left = self._tools.lease()
                if left <= 0:
                    raise Overdue("the worker could not renew its lease")
                await asyncio.wait({task}, timeout=left)
            return task.result()
        finally:
            task.cancel()

    async def _recorded(self, position: StreamPosition, attempted: Attempted) -> None:
        """Records an acknowledgement; while the database is away, for as long as nobody else can have the webhook."""
        queue = self._tools.queue
        while True:
            try:
                allowed = await queue.acknowledged(self.id, self.claim, position.text, attempted)
                break
            except OUTAGE:
                if self._tools.lease() <= 0:
                    raise
                await asyncio.sleep(OUTAGE_SECONDS / 2)
        if allowed is None:
            raise Ended
        self._position, self._stored = position, position.text
        if not allowed:
            lost = WebhookSuspension.ACCESS_LOST
            raise await self._suspended(lost, NO_ACCESS[lost])

    async def _failed(self, posted: Posted, attempted: Attempted) -> float:
        pace = self._tools.pace
        pause = max(pace.pause(attempted.attempt), posted.after or 0.0)
        seconds = await self._tools.queue.failed(self.id, self.claim, pause, attempted)
        if seconds is None:
            raise Ended
        if posted.gone:
            raise await self._suspended(WebhookSuspension.GONE, GONE)
        if seconds >= pace.give_up:
            said = f"A message could not be delivered for {seconds / 3600:.0f} hours. The last attempt: {posted.said}"
            raise await self._suspended(WebhookSuspension.FAILING, said)
        return pause


@dataclass(slots=True)
class _Run:
    """One run of sending, over one connection, until there is no more to send or an attempt fails. `attempt` is the
    number of the next one."""

    subscription: WebhookSubscription
    client: httpx.AsyncClient
    endpoint: Endpoint
    attempt: int


@dataclass(frozen=True, slots=True)
class _Outgoing:
    """A message that is ready to be sent, and the position behind it, also as its stream cursor."""

    id: UUID
    kind: WebhookMessageKind
    body: bytes
    position: StreamPosition
    cursor: str
