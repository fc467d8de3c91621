"""Notifications over a local socket: a channel that sends them, a sink that accepts them or misbehaves, and the sending
processes, which are Callout's own except for the channels.

`python -m tests.helpers.notification_sink serve` is a server, `… notify` a standalone worker. Besides Callout's
settings they need environment variables: `SINK_PORT`, and `PACE` as JSON.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, TypeAlias

import orjson

from callout import logs, notification_worker
from callout.settings import Settings, load
from db.enums import DeliveryChannel
from db.postgres.pool import Database
from notifiers.notification import Channel, Notification, Unavailable, Undeliverable
from notifiers.worker import Pace
from pubsub.bell import Bell
from tests.helpers.process import environment_of, start

WITHIN = 15.0  # seconds, after which a waiting test fails
HANG, DROP = "hang", "drop"

Received: TypeAlias = dict[str, Any]
"""A notification as the other side gets it."""


class Wire(Channel):
    """Sends each notification as a line of JSON over a connection of its own. The answer is a line that starts like
    SMTP's: 2 means accepted, 4 try later (after the seconds at its end, if there are any), 5 refused for good.
    """

    def __init__(self, port: int) -> None:
        self._port = port

    async def send(self, notification: Notification) -> str:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:
            raise Unavailable("Nobody listens.") from None
        try:
            writer.write(orjson.dumps(asdict(notification), default=bytes.hex) + b"\n")
            answer = (await reader.readline()).decode().strip()
        except OSError:
            answer = ""
        finally:
            writer.close()
        match answer[:1]:
            case "2":
                return answer
            case "4":
                seconds = answer.rpartition(" ")[2]
                raise Unavailable(answer, float(seconds) if seconds.isdecimal() else None)
            case "5":
                raise Undeliverable(answer)
        raise Unavailable("The line was dropped.")


class Sink:
    """Receives notifications. `answer` returns the answer to each: a line, `HANG` until `release`, or `DROP`. `seen`
    has all that arrived, in order; `taken` those that were accepted. Lines are sent as Latin-1."""

    def __init__(self) -> None:
        self.answer: Callable[[Received], str] = lambda notification: "250 Thanks"
        self.seen: list[Received] = []
        self.taken: list[Received] = []
        self.port = 0
        self._released = asyncio.Event()

    @classmethod
    @asynccontextmanager
    async def open(cls) -> AsyncIterator[Sink]:
        sink = cls()
        server = await asyncio.start_server(sink._take, "127.0.0.1", 0, limit=2**20)
        sink.port = server.sockets[0].getsockname()[1]
        yield sink
        sink.release()
        server.close()

    def release(self) -> None:
        """Answers the hanging connections as `answer` says now; drops them if it still says `HANG`."""
        self._released.set()
        self._released = asyncio.Event()

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = await reader.readline()
        if not line:  # the sender has disconnected
            writer.close()
            return
        notification: Received = orjson.loads(line)
        self.seen.append(notification)
        answer = self.answer(notification)
        if answer == HANG:
            await self._released.wait()
            answer = self.answer(notification)
        if answer not in (HANG, DROP):
            if answer.startswith("2"):
                self.taken.append(notification)
            writer.write(answer.encode("latin-1") + b"\n")
        writer.close()


async def until(condition: Callable[[], bool]) -> None:
    """Waits until a condition is true that another process brings about."""
    async with asyncio.timeout(WITHIN):
        while not condition():  # noqa: ASYNC110 (there is no event to wait for)
            await asyncio.sleep(0.02)


@asynccontextmanager
async def working(
    settings: Settings, sink: Sink, channels: str = "EMAIL,GOOGLE_CHAT", pace: Pace | None = None
) -> AsyncIterator[None]:
    """Runs a worker in this process for the length of the block."""
    assert settings.database_url is not None
    database = await Database.open(settings.database_url, size=2)
    try:
        async with Bell.open(settings.database_url) as bell:
            worker = notification_worker.worker(settings, database, wires(sink.port, channels), bell, pace)
            running = asyncio.create_task(worker.run())
            try:
                yield
            finally:
                running.cancel()
                await asyncio.wait({running})
            assert running.cancelled(), running.exception()
    finally:
        await database.close()


class Sending:
    """A worker in a process of its own."""

    def __init__(self, process: BaseProcess, log: Path) -> None:
        self.process = process
        self._log = log

    def log(self) -> str:
        return self._log.read_text()

    def kill(self) -> None:
        self.process.kill()
        self.process.join()

    def stop(self) -> float:
        """Stops the worker with SIGTERM. Returns the seconds that it took."""
        began = time.monotonic()
        self.process.terminate()
        self.process.join(WITHIN)
        assert self.process.exitcode == 0, self.log()
        return time.monotonic() - began


@contextmanager
def sending(directory: Path, database_url: str, sink: Sink, **pace: float) -> Iterator[Sending]:
    """A worker process that sends to the sink; it is killed at the end of the block if it still runs."""
    settings = environment_of(database_url=database_url, data_dir=str(directory), env="production", jwt_secret="x" * 32)
    environment = settings | wiring(sink, **pace)
    number = len(list(directory.glob("worker*.log")))
    path = directory / f"worker{number}.log"
    process = start(("tests.helpers.notification_sink", "notify"), environment, path)
    try:
        yield Sending(process, path)
    finally:
        process.kill()
        process.join()


def wiring(sink: Sink, **pace: float) -> dict[str, str]:
    """Sets the environment variables that these processes need besides Callout's settings."""
    return {"SINK_PORT": str(sink.port), "PACE": orjson.dumps(pace).decode()}


def wires(port: int, channels: str = "EMAIL,GOOGLE_CHAT") -> notification_worker.Channels:
    return {DeliveryChannel(name): Wire(port) for name in channels.split(",")}


def main() -> None:
    settings, port = load(), int(os.environ["SINK_PORT"])

    def channels(_: Settings) -> notification_worker.Channels:
        return wires(port)

    if sys.argv[1] == "serve":
        import uvicorn  # only a server needs it, and importing it takes seconds

        from callout.app import create_app

        app = create_app(settings, channels)
        uvicorn.run(app, host=settings.host, port=settings.port, log_config=None, access_log=False, lifespan="on")
    else:
        logs.configure(settings)
        assert settings.database_url is not None
        pace = Pace(**orjson.loads(os.environ["PACE"]))
        asyncio.run(notification_worker.notify(settings, settings.database_url, channels, pace))


if __name__ == "__main__":
    main()
