"""The bell: rung after a commit, it wakes every process that serves the same database.

    async with Bell.open("postgres://", database_url) as bell:
        bell.ring()              # after a commit
        await bell.wait(1.0)     # in the tail of the event log

Each further waiter in the same process has an ear of its own, `bell.ear()`, so that none consumes another's ring.

A ring carries no data, it only means "look again". So rings can be merged, and a lost ring costs only the time until
the waiter looks by itself. In return, `ring` and `wait` never raise a backend's error: an outage is logged once and
ends with a new connection, after which the bell rings, because rings may have been missed.

A ring carries no data, but the same line can carry the messages of one `Cargo` (`presence.py`). They may get lost with
a connection, and never hold up a ring for longer than one of them takes.

A connection with a silent peer looks like an idle one. So no connection may stay idle for more than about a second:
then the first process that notices sends a beat, and a process that does not receive even that reconnects.
"""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from typing import Final, Protocol, Self
from urllib.parse import unquote, urlsplit

from broadcaster import Broadcast, Event

from db.postgres.url import server_url
from pubsub.backends import line_to

logger = logging.getLogger(__name__)

CHANNEL = "callout_bell"
BELL_OF_THE_DATABASE = ("postgres://", "postgresql://")  # the URLs that mean the database itself
BEAT = "beat"

MERGING_SECONDS = 0.02  # between two messages of one process
BEAT_SECONDS = 1.0  # of silence before a process sends a beat
SILENCE_SECONDS = 3.0  # after which the connection counts as lost: beats should have arrived meanwhile
SENDING_SECONDS = 2.0
CONNECTING_SECONDS = 5.0
CARRYING_SECONDS = 0.05  # between two loads of cargo
CLOSING_SECONDS = 2.0
RETRY_SECONDS = 0.1  # after the first failure; doubles with each one that follows
RETRY_SECONDS_MAX = 1.0


CARGO: Final = "{"
"""What a cargo's messages begin with. All others are rings or beats."""
CARGO_MAX: Final = 7_900
"""The longest message of a cargo, in bytes of UTF-8: a NOTIFY of PostgreSQL's takes 7,999."""


class UnusableUrl(Exception):
    """The bell's URL can never work. The message says why, without the password."""


class Ear:
    """Remembers that the bell has rung, also while nothing waits. Each ear has one waiter."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()

    def hear(self) -> None:
        self._rung.set()

    async def wait(self, seconds: float) -> bool:
        """Returns True as soon as the bell has rung since the last wait, in this process or another, or False after
        `seconds`."""
        rung = await _set_within(seconds, self._rung)
        if rung:
            self._rung.clear()
        return rung


class Cargo(Protocol):
    """Messages to the cargoes of the other processes; each begins with `CARGO` and has up to `CARGO_MAX` bytes. They
    may get lost, and arrive at their own sender too."""

    waiting: asyncio.Event
    """Set by the cargo when there are messages to be sent, and cleared by the bell."""

    def load(self) -> list[str]:
        """Removes and returns messages that are to be sent now, a few at most."""

    def receive(self, message: str) -> None:
        """Takes a message, which anybody may have sent who can use the line."""

    def connected(self) -> None:
        """Called for each new connection: messages may have been missed before."""


class Bell:
    """The bell; one for each process. Not thread-safe: use it only from the event loop's thread."""

    def __init__(self, url: str, cargo: Cargo | None) -> None:
        self._url = url
        self._cargo = cargo
        self._name = secrets.token_hex(4)  # by which its own rings are recognised and ignored
        self._own = Ear()
        self._ears = [self._own]
        self._unsent = asyncio.Event()
        self._publishing = asyncio.Lock()  # a connection of asyncpg's does one thing at a time
        self._heard_at = 0.0
        self._failures = 0  # since the last message was received
        self._tried: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str, database_url: str | None = None, cargo: Cargo | None = None) -> AsyncIterator[Self]:
        """Yields a bell for the length of the block. It is connected, unless its server is unavailable; then it keeps
        trying.

        `url` is `memory://` for a single process, `postgres://…`, `redis://…` or `rediss://…` (Valkey too), or one of
        broadcaster's own (`kafka://…`, with its package installed). `postgres://` alone is the database itself, at
        `database_url`. Raises `UnusableUrl`, but never a server's error.
        """
        bell = cls(_checked(url, database_url), cargo)
        ringing = asyncio.create_task(bell._keep_connected())
        try:
            await bell._tried
            yield bell
        finally:
            await _end(ringing)

    @property
    def connected(self) -> bool:
        """Whether the other processes are reached; without that they notice changes by themselves, a little later."""
        return not self._failures

    def ring(self) -> None:
        """Wakes the waiters of this process immediately and those of other processes within milliseconds. Never blocks,
        never raises. Call it after the commit, because waiters look at once."""
        self._wake()
        self._unsent.set()

    async def wait(self, seconds: float) -> bool:
        """Waits at the bell's own ear, like `Ear.wait`."""
        return await self._own.wait(seconds)

    def ear(self) -> Ear:
        """Returns a new ear, which lives as long as the bell."""
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
        """Opens a connection and serves it until it fails; always raises."""
        async with (
            asyncio.timeout(CONNECTING_SECONDS) as limit,
            line_to(self._url) as line,
            line.subscribe(CHANNEL) as subscriber,
        ):
            limit.reschedule(None)
            tasks = [asyncio.create_task(self._hear(subscriber.get))]
            if self._cargo is not None:
                tasks.append(asyncio.create_task(self._carry(line, self._cargo)))
            for task in tasks:
                # Wakes `_send`, which then raises the task's error. The flag stays set, so the next connection sends a
                # ring again that this one may have lost.
                task.add_done_callback(lambda _: self._unsent.set())
            try:
                await self._send(line, tasks)
            finally:
                limit.reschedule(asyncio.get_running_loop().time() + CLOSING_SECONDS)
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _hear(self, next_event: Callable[[], Awaitable[Event]]) -> None:
        while True:
            event = await next_event()
            self._succeeded()
            if event.message.startswith(CARGO):
                self._receive(event.message)
            elif event.message not in (self._name, BEAT):
                self._wake()

    def _receive(self, message: str) -> None:
        try:
            if self._cargo is not None:
                self._cargo.receive(message)
        except Exception:
            logger.exception("cannot take a message of another process")  # and the bell goes on ringing

    async def _carry(self, line: Broadcast, cargo: Cargo) -> None:
        cargo.connected()
        while True:
            await cargo.waiting.wait()
            cargo.waiting.clear()
            for message in cargo.load():
                await self._publish(line, message)
            await asyncio.sleep(CARRYING_SECONDS)

    async def _publish(self, line: Broadcast, message: str) -> None:
        async with self._publishing:
            await _publish(line, message)

    async def _send(self, line: Broadcast, others: Collection[asyncio.Task[None]]) -> None:
        self._heard_at = time.monotonic()
        if self._failures:
            self._wake()  # rings may have been missed
        await self._publish(line, BEAT)  # its echo shows at once whether this line works
        while True:
            rung = await _set_within(random.uniform(1, 1.5) * BEAT_SECONDS, self._unsent)
            silence = time.monotonic() - self._heard_at
            for task in others:
                if task.done():
                    task.result()
            if silence > SILENCE_SECONDS:
                raise TimeoutError(f"nothing was received for {silence:.1f} s, not even this process's own messages")
            if rung:
                self._unsent.clear()
                await self._publish(line, self._name)
            elif silence > BEAT_SECONDS:
                await self._publish(line, BEAT)
            await asyncio.sleep(MERGING_SECONDS)

    def _succeeded(self) -> None:
        self._heard_at = time.monotonic()
        if self._failures:
            logger.info("the bell has reconnected")
        self._failures = 0
        if not self._tried.done():
            self._tried.set_result(None)

    def _failed(self, error: Exception) -> None:
        text = _without_password(str(error) or type(error).__name__, self._url)
        if not self._tried.done() and isinstance(error, ValueError | ImportError) and not isinstance(error, OSError):
            self._tried.set_exception(UnusableUrl(f"The bell's URL cannot be used: {text}"))
            return
        if not self._failures:
            logger.warning("the bell is disconnected from the other processes: %s", text)
        self._failures += 1
        if not self._tried.done():
            self._tried.set_result(None)


async def ring_once(url: str, database_url: str | None = None) -> None:
    """Rings the bell once, for a short-lived process that has committed something; `url` is as for `Bell.open`.

    Takes up to `SENDING_SECONDS`. A failure is only logged: the waiters then look a little later by themselves.
    """
    try:
        await try_to_ring(url, database_url)
    except (UnusableUrl, ConnectionError) as error:
        logger.warning("cannot ring the bell: %s", error)


async def try_to_ring(url: str, database_url: str | None = None) -> None:
    """Like `ring_once`, but raises `UnusableUrl`, or `ConnectionError` with what the server or the network said."""
    if urlsplit(url).scheme == "memory":
        return
    checked = _checked(url, database_url)
    try:
        async with asyncio.timeout(SENDING_SECONDS), line_to(checked) as line:
            await line.publish(CHANNEL, secrets.token_hex(4))
    except Exception as error:  # noqa: BLE001 (a backend of broadcaster's may raise anything)
        raise ConnectionError(_without_password(str(error) or type(error).__name__, checked)) from None


def _pause(failures: int) -> float:
    """Returns the seconds until the next attempt: they grow with each failure, and are jittered so that the processes
    that lost the same server do not all reconnect at once."""
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
    """Cancels the task repeatedly until it has ended, for up to `CLOSING_SECONDS`: before Python 3.12 a cancellation
    can get lost in `asyncio.wait_for`, which redis-py uses for sending."""
    for _ in range(10):
        task.cancel()
        await asyncio.wait({task}, timeout=CLOSING_SECONDS / 10)
        if task.done():
            return


def _checked(url: str, database_url: str | None) -> str:
    """Returns the URL to connect to, after checking that its password can be found, so that it can be hidden in logs.
    Raises `UnusableUrl`."""
    if url in BELL_OF_THE_DATABASE:
        if database_url is None:
            raise UnusableUrl(f"{url} means the database itself, but the database's URL is not set.")
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
