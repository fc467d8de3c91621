"""What devices have received by their own streams, so that they get no notice of it besides (`notifiers/worker.py`).

A message that was written to a socket may never arrive: a phone that falls asleep says nothing. So a device that has
named itself is asked. Soon after a message the server sends a `ping` with a number, and a `pong` with this number says
that everything before it has arrived, because a socket keeps the order. The notices of these events are dropped, in the
database, whichever process would have sent them.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import orjson

from db.postgres.outage import is_logged
from db.postgres.pool import OUTAGE, Database
from notifiers import push_subscriptions

logger = logging.getLogger(__name__)

ASKING_SECONDS: Final = 0.5  # after the first message that is not confirmed, so that one ping asks about several
WRITING_SECONDS: Final = 0.1  # between two writes of what devices have confirmed
UNCONFIRMED_MAX: Final = 1_000  # events of one socket; of earlier ones the device gets notices
_NUMBER: Final = "received"


class _Delivered(NamedTuple):
    event: str
    asked_by: int  # the number of the ping that asks about it


class DeviceStream:
    """The events that one socket has delivered to a device and that the device has not confirmed yet."""

    def __init__(self, ask: Callable[[bytes], None], confirm: Callable[[str], None]) -> None:
        """`ask` sends a message to the device. `confirm` is called with each event that it has received."""
        self._ask = ask
        self._confirm = confirm
        self._unconfirmed: deque[_Delivered] = deque(maxlen=UNCONFIRMED_MAX)
        self._next = 1
        self._asking: asyncio.TimerHandle | None = None

    def delivered(self, event: str) -> None:
        self._unconfirmed.append(_Delivered(event, self._next))
        if self._asking is None:
            self._asking = asyncio.get_running_loop().call_later(ASKING_SECONDS, self._send_ping)

    def answered(self, payload: dict[str, Any]) -> None:
        """The device has sent a `pong` with this payload, perhaps one that answers no ping of ours."""
        number = payload.get(_NUMBER)
        if not isinstance(number, int) or not 0 < number < self._next:
            return
        while self._unconfirmed and self._unconfirmed[0].asked_by <= number:
            self._confirm(self._unconfirmed.popleft().event)

    def end(self) -> None:
        if self._asking is not None:
            self._asking.cancel()

    def _send_ping(self) -> None:
        self._asking = None
        self._ask(orjson.dumps({"type": "ping", "payload": {_NUMBER: self._next}}))
        self._next += 1


class StreamReceipts:
    """Writes down what devices have confirmed; one for each process. Run `write()` for as long as it serves."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._confirmed: list[push_subscriptions.ReceivedEvent] = []
        self._some = asyncio.Event()

    def confirm(self, owner: str, device_id: str, event: str) -> None:
        self._confirmed.append(push_subscriptions.ReceivedEvent(owner, device_id, event))
        self._some.set()

    async def write(self) -> None:
        """Drops the notices of what devices have confirmed, forever. What cannot be written is forgotten: the device
        then gets a notice of what it has."""
        while True:
            await self._some.wait()
            self._some.clear()
            confirmed, self._confirmed = self._confirmed, []
            try:
                await push_subscriptions.drop_received(self._database, confirmed)
            except OUTAGE as error:
                if not is_logged(error):
                    logger.warning("cannot note what devices have received: %s", error or type(error).__name__)
            await asyncio.sleep(WRITING_SECONDS)
