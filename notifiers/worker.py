"""The worker: screens new deliveries, claims those that are due, sends them through their channels, and records the
outcomes.

Any number of workers may run, inside servers or as processes of their own; the queue (`notifiers/queue.py`) coordinates
them. Each is woken by the bell, and also polls every `LOOKING_SECONDS`. It claims no more deliveries than it can send
at once, counted for each channel separately, so that a channel that hangs does not block the other.

A notification is sent at least once: if a worker is killed after the other side has accepted it and before the outcome
is recorded, it is sent again, with the same delivery id.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from time import monotonic, perf_counter
from typing import Final

from db import metrics, tracing
from db.enums import DeliveryChannel, DeliveryState, NoticeKind
from db.object_store import ObjectStore
from db.postgres.outage import is_logged
from db.postgres.pool import OUTAGE, Database
from notifiers import contacts, queue, screening
from notifiers.attempt import Attempt, attempt
from notifiers.notification import Channel, Needless, Undeliverable
from notifiers.outgoing_files import carried
from notifiers.push_rules import excess
from notifiers.push_subscriptions import earlier_of
from notifiers.queue import AttemptOutcome, Claim
from notifiers.screening_rules import Limits

logger = logging.getLogger(__name__)

LOOKING_SECONDS: Final = 1.0
TURN_SECONDS: Final = 0.02  # the minimum between two claims, so that many wake-ups in a row cause one claim
CALM_SECONDS: Final = (
    0.25  # the same while nothing is due or being sent, as most events that ring the bell cause no notification
)
OUTAGE_SECONDS: Final = 1.0  # between two attempts to reach the database during an outage
RELEASE_SECONDS: Final = 60.0  # between two looks for held deliveries that were not released when they could be
ANSWER_SECONDS: Final = 15.0  # after which a database that does not respond counts as unreachable
FINISHING_SECONDS: Final = 2.0  # for sends in progress when the worker is stopped

_ATTEMPTS: Final = metrics.Counter(
    "callout_delivery_attempts",
    "Attempts to send a delivery, by the state that it is in afterwards: PENDING will be retried.",
    ("channel", "state"),
    known=[(channel.value, state) for channel in DeliveryChannel for state in ("SENT", "PENDING", "DEAD")],
)
_SENDING: Final = metrics.Histogram(
    "callout_delivery_attempt_seconds",
    "How long attempts to send a delivery took.",
    ("channel",),
    bounds=metrics.SLOW,
    known=[(channel.value,) for channel in DeliveryChannel],
)

TOO_LATE: Final = "No worker sent it in time."
FILES_GONE: Final = "The files that it was about can no longer be sent."
SWITCHED_OFF: Final = "Google Chat is disabled in the settings, or has no webhook URL."


@dataclass(frozen=True, slots=True)
class Pace:
    """The worker's limits and times, in seconds. `lease` must be longer than `sending`."""

    sends: int = 20  # concurrent sends through each channel
    sending: float = 45.0  # timeout of one send
    lease: float = 60.0
    retry: float = 5.0  # the pause after the first failure; doubles with each further one, ± 50 % at random
    retry_max: float = 3600.0
    give_up: float = 3 * 86_400.0
    settling: float = 5.0  # for which a device's stream may deliver an event, before the device gets a notice

    def pause(self, failures: int) -> float:
        return random.uniform(0.5, 1.5) * min(self.retry * 2.0 ** min(failures - 1, 30), self.retry_max)


class Worker:
    """Sends due deliveries; one for each process. `run()` it for the whole life of the process."""

    def __init__(
        self,
        database: Database,
        channels: Mapping[DeliveryChannel, Channel],
        *,
        domain: str,
        heard: Callable[[float], Awaitable[object]],
        recorded: Callable[[], None],
        pace: Pace,
        limits: Limits,
        store: ObjectStore,
        carried_max: int,
    ) -> None:
        """`domain` is the domain of our Message-IDs. `heard` waits for the bell, at most the given seconds, and
        `recorded` rings it for those who follow deliveries. `limits` are those on mail that outsiders cause. A mail
        carries files from the store, of `carried_max` bytes at most."""
        self._database = database
        self._channels = channels
        self._domain = domain
        self._heard = heard
        self._recorded = recorded
        self._pace = pace
        self._limits = limits
        self._store = store
        self._carried_max = carried_max
        self._released_at = monotonic()
        self._sending: dict[asyncio.Task[None], Claim] = {}
        self._outcomes: list[AttemptOutcome] = []  # not recorded yet
        self._news = asyncio.Event()
        self._stopping = False
        self._cut_off = False

    async def run(self) -> None:
        """Run until cancelled. Sends in progress then have `FINISHING_SECONDS` to end; the ones that are abandoned are
        due again at once, for another worker or for this one after a restart."""
        for channel in (DeliveryChannel.EMAIL, DeliveryChannel.GOOGLE_CHAT):
            if channel not in self._channels:
                logger.warning("%s is not configured here: its deliveries stay in the queue", channel)
        tasks = (asyncio.create_task(self._listen()), asyncio.create_task(self._work()))
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await self._stop(*tasks)
        for task in tasks:
            if not task.cancelled():
                task.result()

    async def _listen(self) -> None:
        while True:
            await self._heard(LOOKING_SECONDS)
            self._news.set()

    async def _work(self) -> None:
        while not self._stopping:
            self._news.clear()
            turn = monotonic()
            try:
                await self._record()
                await self._screen()
                claims = await self._claim()
            except OUTAGE as error:
                self._failed(error)
                await asyncio.sleep(OUTAGE_SECONDS)
                continue
            if self._cut_off:
                self._cut_off = False
                logger.info("the queue of deliveries is reachable again")
            for claim in claims:
                self._begin(claim)
            await self._news.wait()
            pause = TURN_SECONDS if claims or self._sending else CALM_SECONDS
            await asyncio.sleep(turn + pause - monotonic())

    async def _screen(self) -> None:
        async with asyncio.timeout(ANSWER_SECONDS):
            if monotonic() - self._released_at >= RELEASE_SECONDS:
                self._released_at = monotonic()
                await contacts.release(self._database)
                await contacts.forget(self._database)
            await screening.screen(self._database, self._limits, timedelta(seconds=self._pace.give_up))

    async def _claim(self) -> list[Claim]:
        taken = Counter(claim.channel for claim in self._taken())
        free = {channel: self._pace.sends - taken[channel] for channel in self._channels}
        wanted = {channel: sends for channel, sends in free.items() if sends > 0}
        if not wanted:
            return []
        async with asyncio.timeout(ANSWER_SECONDS):
            return await queue.claim(
                self._database,
                wanted,
                lease=self._pace.lease,
                give_up=self._pace.give_up,
                settling=self._pace.settling,
                summary_time=self._limits.summary_time,
            )

    def _taken(self) -> Iterable[Claim]:
        yield from self._sending.values()
        yield from (outcome.claim for outcome in self._outcomes)

    def _begin(self, claim: Claim) -> None:
        task = asyncio.create_task(self._send(claim))
        self._sending[task] = claim
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._sending[task]
        self._news.set()

    async def _send(self, claim: Claim) -> None:
        if claim.attempts == 0:
            made = Attempt(DeliveryState.DEAD, TOO_LATE)
        else:
            began = perf_counter()
            about: tracing.Attributes = {"callout.channel": claim.channel.value, "callout.attempts": claim.attempts}
            with tracing.span(f"deliver {claim.channel}", about) as span:
                made = await attempt(self._sent(claim), self._pace.sending)
                if span is not None:
                    span.set_attribute("callout.state", made.state.value)
            _SENDING.observe(perf_counter() - began, claim.channel.value)
        _ATTEMPTS.add(claim.channel.value, made.state.value)
        pause = min(max(self._pace.pause(claim.attempts), made.after or 0.0), self._pace.give_up)
        self._outcomes.append(AttemptOutcome(claim, made.state, made.said, pause, made.gone))

    async def _sent(self, claim: Claim) -> str:
        notification = claim.notification(self._domain)
        if claim.channel is DeliveryChannel.PUSH:
            if too_many := excess(notification.kind, earlier_of(claim.row["earlier"]), self._limits):
                raise Needless(too_many)
        elif claim.row["note_id"] is None and notification.kind is NoticeKind.NOTE_ADDED:
            if not notification.files:
                raise Undeliverable(FILES_GONE)
            files = await carried(self._store, notification.files, self._carried_max)
            notification = replace(notification, files=files)
        if claim.channel is DeliveryChannel.GOOGLE_CHAT and notification.webhook_url is None:
            raise Undeliverable(SWITCHED_OFF)
        return await self._channels[claim.channel].send(notification)

    async def _record(self) -> None:
        outcomes = list(self._outcomes)
        if not outcomes:
            return
        async with asyncio.timeout(ANSWER_SECONDS):
            await queue.end_subscriptions(self._database, outcomes)
            rows = await queue.record(self._database, outcomes, give_up=self._pace.give_up)
        del self._outcomes[: len(outcomes)]
        self._recorded()
        for row in rows:
            if row["state"] == DeliveryState.DEAD:
                fields = {"delivery": str(row["id"]), "channel": row["channel"], "kind": row["kind"]}
                logger.warning("a delivery was given up", extra={"fields": fields})

    def _failed(self, error: Exception) -> None:
        if not self._cut_off and not is_logged(error):
            self._cut_off = True
            logger.warning("the queue of deliveries is unreachable: %s", error or type(error).__name__)

    async def _stop(self, listening: asyncio.Task[None], working: asyncio.Task[None]) -> None:
        """Stop within about twice `FINISHING_SECONDS`, even if a task hangs."""
        self._stopping = True
        listening.cancel()
        self._news.set()
        ending = [listening, working, *self._sending]
        await asyncio.wait(ending, timeout=FINISHING_SECONDS)
        working.cancel()
        abandoned = dict(self._sending)
        for task in abandoned:
            task.cancel()
        await asyncio.wait({listening, working, *abandoned}, timeout=FINISHING_SECONDS / 4)
        for task, claim in abandoned.items():
            if not task.done() or task.cancelled():
                self._outcomes.append(AttemptOutcome(claim, DeliveryState.PENDING, None))
        try:
            async with asyncio.timeout(FINISHING_SECONDS / 2):
                await self._record()
        except OUTAGE as error:
            logger.warning("abandoned deliveries are due when their leases end: %s", error or type(error).__name__)
