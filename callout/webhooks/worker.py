"""The worker: takes webhooks that no living worker has, and carries them; one for each process.

An idle webhook costs nothing: its carrier waits until the hub wakes it, and its position is stored now and then, in
one statement for all.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from time import monotonic
from typing import Final

from callout.execution.budgets import Budgets
from callout.webhooks.carrier import NO_ACCESS, Carrier, Tools
from callout.webhooks.pace import WebhookPace
from callout.webhooks.subscriptions import Subscriptions
from callout.webhooks.turns import Turns
from db.enums import DeliveryChannel
from db.events.stream_cursor import StreamCursors
from db.ids import new_id
from db.postgres.outage import is_logged
from db.postgres.pool import OUTAGE, Database
from notifiers import webhook_notice
from notifiers.notification import Channel
from notifiers.webhook_queue import WebhookQueue
from notifiers.webhook_sender import WebhookSender
from pubsub.hub import Hub
from resolvers import webhook as webhooks

logger = logging.getLogger(__name__)

LOOKING_SECONDS: Final = 1.0
LEASE_SECONDS: Final = 10.0
BEAT_SECONDS: Final = 2.5
SWEEP_SECONDS: Final = 10.0  # between two looks for lost access, and for webhooks that somebody has deleted
CHECKPOINT_SECONDS: Final = 60.0
FINISHING_SECONDS: Final = 2.0  # for messages that are being sent when the worker is stopped
LOOKUPS_AT_ONCE: Final = 3
HELD_MAX: Final = 1_000
TAKEN_AT_ONCE: Final = 50


@dataclass(slots=True)
class _Timer:
    """Says when something is due that is done every so many seconds."""

    seconds: float
    done_at: float = 0.0

    def due(self) -> bool:
        now = monotonic()
        if now < self.done_at + self.seconds:
            return False
        self.done_at = now
        return True


class WebhookWorker:
    """`run()` it for the whole life of the process."""

    def __init__(
        self,
        database: Database,
        subscriptions: Subscriptions,
        budgets: Budgets,
        cursors: StreamCursors,
        hub: Hub,
        sender: WebhookSender,
        channels: Mapping[DeliveryChannel, Channel],
        pace: WebhookPace,
        away: timedelta,
    ) -> None:
        """`channels` notify the admins of a webhook that was suspended, and an author who has been away for almost as
        long as they may be."""
        self._database = database
        self._hub = hub
        self._channels = channels
        self._queue = WebhookQueue(database, new_id(), away)
        self._lives_until = 0.0
        self._carriers: dict[str, tuple[Carrier, asyncio.Task[None]]] = {}
        self._beat, self._sweep = _Timer(BEAT_SECONDS), _Timer(SWEEP_SECONDS)
        self._checkpoint = _Timer(CHECKPOINT_SECONDS)
        turns = Turns(LOOKUPS_AT_ONCE)
        self._tools = Tools(
            database, self._queue, subscriptions, budgets, cursors, hub, sender, pace, self._lease, turns
        )

    @property
    def carried(self) -> int:
        """How many webhooks this process carries."""
        return len(self._carriers)

    async def run(self) -> None:
        """Runs until cancelled. Messages that are being sent then have `FINISHING_SECONDS`; the webhooks are free for
        other workers at once."""
        try:
            while True:
                try:
                    await self._look()
                except OUTAGE as error:
                    if not is_logged(error):
                        logger.warning("cannot look for webhooks: %s", error or type(error).__name__)
                await asyncio.sleep(LOOKING_SECONDS)
        finally:
            await self._stop()

    def _lease(self) -> float:
        return self._lives_until - monotonic()

    async def _look(self) -> None:
        if self._carriers and self._beat.due():
            await self._live()
        free, notices = await self._queue.due()
        if free and self.carried < HELD_MAX:
            await self._live()
            for row in await self._queue.take(min(TAKEN_AT_ONCE, HELD_MAX - self.carried)):
                await self._carry(Carrier(row, self._tools))
        if self._sweep.due():
            if self._carriers:
                await self._drop_lost()
            for webhook_id, claim, lost in await self._queue.without_access():
                await webhooks.suspend(self._database, webhook_id, claim, lost, NO_ACCESS[lost])
            await self._queue.warn()
        if notices:
            await webhook_notice.notify(self._database, self._queue, self._channels)
        if self._carriers and self._checkpoint.due():
            await self._store_positions()

    async def _live(self) -> None:
        until = monotonic() + LEASE_SECONDS  # before the statement, whose own clock starts later
        await self._queue.live(LEASE_SECONDS)
        self._lives_until = until

    async def _carry(self, carrier: Carrier) -> None:
        """Starts a carrier, after the one that the webhook had before somebody changed it."""
        before = self._carriers.pop(carrier.id, None)
        if before is not None:
            before[1].cancel()
            await asyncio.wait({before[1]}, timeout=FINISHING_SECONDS)
        task = asyncio.create_task(carrier.run())
        self._carriers[carrier.id] = (carrier, task)
        task.add_done_callback(lambda ended: self._ended(carrier, ended))

    def _ended(self, carrier: Carrier, task: asyncio.Task[None]) -> None:
        if self._carriers.get(carrier.id, (None,))[0] is carrier:
            del self._carriers[carrier.id]
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("a webhook's carrier has failed", exc_info=error)

    async def _drop_lost(self) -> None:
        """Ends the carriers of webhooks that are no longer this worker's, such as those that were deleted."""
        carried = await self._queue.carried()
        for carrier, task in list(self._carriers.values()):
            if carried.get(carrier.id) != carrier.claim:
                task.cancel()

    async def _store_positions(self) -> None:
        """Stores the positions of idle webhooks."""
        tail = self._hub.position
        reached = [
            (carrier, position)
            for carrier, _ in self._carriers.values()
            if tail and (position := carrier.reached(tail)) is not None
        ]
        if reached:
            await self._queue.checkpoint([(each.id, each.claim, position) for each, position in reached])
            for carrier, position in reached:
                carrier.store(position)

    async def _stop(self) -> None:
        entries = list(self._carriers.values())
        for carrier, task in entries:
            carrier.stop()
            if carrier.idle:
                task.cancel()
        tasks = {task for _, task in entries}
        if tasks:
            await asyncio.wait(tasks, timeout=FINISHING_SECONDS)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=FINISHING_SECONDS / 4)
            try:
                async with asyncio.timeout(FINISHING_SECONDS / 2):
                    await self._queue.leave()
            except OUTAGE as error:
                logger.warning("webhooks are free when the worker's lease ends: %s", error or type(error).__name__)
