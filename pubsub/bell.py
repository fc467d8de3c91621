"""The bell: rung by whoever has committed something, heard at once by every process that serves the same database.

    async with Bell.open("postgres://", database_url) as bell:
        bell.ring()              # after a commit
        await bell.wait(1.0)     # in the tail of the event log

Who else waits in the same process has an ear of their own, `bell.ear()`, so that nobody takes a ring away from another.

It carries no data, only "look again". So rings may be merged, and are; and a lost one costs no more than the time until
whoever waits looks by itself. In return nothing that happens to the backend comes out of `ring` or `wait`: an outage is
logged once and ended by a new connection, after which the bell rings, since something may have been missed.

A connection whose peer has fallen silent looks like one on which nothing happens. So nothing may happen for a second
only: then a beat is sent, by whichever process notices first, and who does not hear even that connects anew.
"""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Self
from urllib.parse import unquote, urlsplit

from broadcaster import Broadcast, Event

from db.postgres.url import server_url
from pubsub.backends import line_to

logger = logging.getLogger(__name__)

CHANNEL = "callout_bell"
BEAT = "beat"

MERGING_SECONDS = 0.005  # between two messages of one process
BEAT_SECONDS = 1.0  # of silence before somebody breaks it
SILENCE_SECONDS = 3.0  # that cannot be: beats have been sent meanwhile
SENDING_SECONDS = 2.0
CONNECTING_SECONDS = 5.0
CLOSING_SECONDS = 2.0
RETRY_SECONDS = 0.1  # after the first failure; doubles with each further one
RETRY_SECONDS_MAX = 1.0


class UnusableUrl(Exception):
    """No bell can ever ring by this URL. The message says why, and shows no password."""


class Ear:
    """Hears the bell, also what it has rung while nobody waited. Waited at in one place."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()

    def hear(self) -> None:
        self._rung.set()

    async def wait(self, seconds: float) -> bool:
        """Returns as soon as the bell has rung since the last wait, here or in another process, or after `seconds`;
        says whether it has rung."""
        rung = await _set_within(seconds, self._rung)
        if rung:
            self._rung.clear()
        return rung


class Bell:
    """One for each process, and in it used from the event loop's thread."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._name = secrets.token_hex(4)  # its own rings, when they come back, are no news
        self._own = Ear()
        self._ears = [self._own]
        self._unsent = asyncio.Event()
        self._heard_at = 0.0
        self._failures = 0  # since anything was heard
        self._tried: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str, database_url: str | None = None) -> AsyncIterator[Self]:
        """A bell for the length of the block, connected unless its server cannot be had now; then it goes on trying.

        `url` is `memory://` for one process alone, `postgres://…`, `redis://…` or `rediss://…` (Valkey too), or one of
        broadcaster's own (`kafka://…`, with its package installed). `postgres://` with nothing behind it is the
        database itself, at `database_url`. Raises `UnusableUrl`, but no error of a server.
        """
        bell = cls(_checked(url, database_url))
        ringing = asyncio.create_task(bell._keep_connected())
        try:
            await bell._tried
            yield bell
        finally:
            await _end(ringing)

    def ring(self) -> None:
        """Wakes who waits here at once, and in the other processes within milliseconds. Never blocks, never raises.
        To be called after the commit: who is woken looks at once."""
        self._wake()
        self._unsent.set()

    async def wait(self, seconds: float) -> bool:
        """The bell's own ear, as `Ear.wait`."""
        return await self._own.wait(seconds)

    def ear(self) -> Ear:
        """An ear as long as the bell lives."""
        ear = Ear()
        self._ears.append(ear)
        return ear

    def _wake(self) -> None:
        for ear in self._ears:
            ear.hear()

    async def _keep_connected(self) -> None:
        while True:
            try:
                await self._connected()
            except Exception as error:  # noqa: BLE001 (a backend of broadcaster's may raise anything)
                self._failed(error)
            await asyncio.sleep(_pause(self._failures))

    async def _connected(self) -> None:
        """One connection from its beginning to its end, which is always an error."""
        async with (
            asyncio.timeout(CONNECTING_SECONDS) as limit,
            line_to(self._url) as line,
            line.subscribe(CHANNEL) as subscriber,
        ):
            limit.reschedule(None)
            hearing = asyncio.create_task(self._hear(subscriber.get))
            # `_send` notices, or the next one does, and sends what of ours may not have come through.
            hearing.add_done_callback(lambda _: self._unsent.set())
            try:
                await self._send(line, hearing)
            finally:
                limit.reschedule(asyncio.get_running_loop().time() + CLOSING_SECONDS)
                hearing.cancel()
                await asyncio.gather(hearing, return_exceptions=True)

    async def _hear(self, next_event: Callable[[], Awaitable[Event]]) -> None:
        while True:
            event = await next_event()
            self._succeeded()
            if event.message not in (self._name, BEAT):
                self._wake()

    async def _send(self, line: Broadcast, hearing: asyncio.Task[None]) -> None:
        self._heard_at = time.monotonic()
        if self._failures:
            self._wake()  # something may have been missed
        await _publish(line, BEAT)  # so that it is known at once whether this line carries anything
        while True:
            rung = await _set_within(random.uniform(1, 1.5) * BEAT_SECONDS, self._unsent)
            silence = time.monotonic() - self._heard_at
            if hearing.done():
                hearing.result()
            if silence > SILENCE_SECONDS:
                raise TimeoutError(f"nothing was heard for {silence:.1f} s, not even what was sent from here")
            if rung:
                self._unsent.clear()
                await _publish(line, self._name)
            elif silence > BEAT_SECONDS:
                await _publish(line, BEAT)
            await asyncio.sleep(MERGING_SECONDS)

    def _succeeded(self) -> None:
        self._heard_at = time.monotonic()
        if self._failures:
            logger.info("the bell is connected again")
        self._failures = 0
        if not self._tried.done():
            self._tried.set_result(None)

    def _failed(self, error: Exception) -> None:
        text = _without_password(str(error) or type(error).__name__, self._url)
        if not self._tried.done() and isinstance(error, ValueError | ImportError) and not isinstance(error, OSError):
            self._tried.set_exception(UnusableUrl(f"The bell cannot ring by its URL: {text}"))
            return
        if not self._failures:
            logger.warning("the bell is cut off from the other processes: %s", text)
        self._failures += 1
        if not self._tried.done():
            self._tried.set_result(None)


async def ring_once(url: str, database_url: str | None = None) -> None:
    """Rings for a process that has written something and is about to end; `url` as `Bell.open` takes it. Takes a few
    seconds at the most, and is no error where it cannot be done: then who waits looks a little later."""
    if urlsplit(url).scheme == "memory":
        return
    try:
        checked = _checked(url, database_url)
    except UnusableUrl as error:
        logger.warning("the bell cannot be rung: %s", error)
        return
    try:
        async with asyncio.timeout(SENDING_SECONDS), line_to(checked) as line:
            await line.publish(CHANNEL, secrets.token_hex(4))
    except Exception as error:  # noqa: BLE001 (a backend of broadcaster's may raise anything)
        logger.warning("the bell cannot be rung: %s", _without_password(str(error) or type(error).__name__, checked))


def _pause(failures: int) -> float:
    """Seconds until the next attempt: longer each time, and not the same for all who have lost the same server."""
    return random.uniform(0.5, 1) * min(RETRY_SECONDS * 2.0 ** min(failures - 1, 10), RETRY_SECONDS_MAX)


async def _set_within(seconds: float, event: asyncio.Event) -> bool:
    try:
        async with asyncio.timeout(seconds):
            return await event.wait()
    except TimeoutError:
        return False


async def _publish(line: Broadcast, message: str) -> None:
    async with asyncio.timeout(SENDING_SECONDS):
        await line.publish(CHANNEL, message)


async def _end(task: asyncio.Task[None]) -> None:
    """Cancels it until it has ended: before Python 3.12 a cancellation can get lost in `asyncio.wait_for`, which
    redis-py uses for sending."""
    for _ in range(10):
        task.cancel()
        await asyncio.wait({task}, timeout=CLOSING_SECONDS / 10)
        if task.done():
            return


def _checked(url: str, database_url: str | None) -> str:
    """The URL to connect to, of which it is certain where its password ends."""
    if url in ("postgres://", "postgresql://"):
        if database_url is None:
            raise UnusableUrl(f"{url} means the database itself, and no URL of it is given.")
        url = database_url
    if "://" not in url:
        raise UnusableUrl("The bell's URL must start with memory://, postgres://, redis:// or rediss://.")
    try:
        server_url(url)
    except ValueError as error:
        raise UnusableUrl(f"The bell's URL {error}.") from None
    return url


def _without_password(text: str, url: str) -> str:
    password = urlsplit(url).password
    if password:
        for form in (password, unquote(password)):
            text = text.replace(form, "***")
    return text
