"""SIGTERM with many open sockets: reading clients get a close code that asks them to reconnect, requests under way are
answered, and the process ends in time even if some clients do not read."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
from contextlib import AsyncExitStack
from pathlib import Path

import asyncpg
import httpx
import psutil
import pytest

from callout import logs
from callout.app import create_app
from callout.http import access_log
from callout.settings import Settings
from db.enums import DeliveryChannel, TicketEventKind
from db.events import log as event_log
from notifiers.notification import Channel, Notification
from tests.helpers.api import Api
from tests.helpers.database_checks import key, until, until_blocked
from tests.helpers.graphql_ws_client import DESCRIPTIONS, Socket, following, live, stalled
from tests.helpers.process import lives
from tests.helpers.stress import BOSS, SECRET, server_of, server_process

pytestmark = pytest.mark.slow

SOCKETS, STALLED = 200, 4
SECONDS = 10.0
RESTARTS = 1012
OF_CALLOUT = "FROM pg_stat_activity WHERE datname = current_database() AND application_name"
TEXTS = [f"{n} {'x' * 15_000}" for n in range(400)]  # more than the kernel buffers for a client that does not read


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_shutdown_closes_sockets_answers_requests_and_ends_in_time(
    workers: str, tmp_path: Path, fresh_url: str
) -> None:
    with server_process(tmp_path, fresh_url, workers=workers) as process:
        server = server_of(process, fresh_url)
        family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        async with AsyncExitStack() as stack:
            # The sockets of one viewer are limited.
            viewers = [await stack.enter_async_context(Api(server, subject=f"boss {n}")) for n in range(5)]
            ticket, other = await viewers[0].new_ticket(), await viewers[0].new_ticket()
            screens: list[Socket] = []
            for n in range(SOCKETS):
                screen = following(viewers[n % len(viewers)], {"status": ["CLOSED"]})
                screens.append(await stack.enter_async_context(screen))
            for _ in range(STALLED):
                stack.enter_context(await stalled(viewers[0]))
            await fill(viewers[0], ticket)

            connection, watcher = await asyncpg.connect(fresh_url), await asyncpg.connect(fresh_url)
            transaction = connection.transaction()
            await transaction.start()
            await connection.execute("SELECT FROM tickets WHERE id = $1 FOR UPDATE", key(other))
            under_way = asyncio.create_task(
                viewers[0].done("ticketUpdate", "ticket { version }", ticketId=other, priority="LOW")
            )
            await until_blocked(watcher)
            await watcher.close()
            os.kill(process.pid, signal.SIGTERM)
            async with asyncio.timeout(SECONDS):
                codes = [code for code, _ in await asyncio.gather(*(screen.closed() for screen in screens))]
                assert codes == [RESTARTS] * SOCKETS
                await transaction.commit()
                assert (await under_way)["ticket"] == {"version": 2}
                while any(map(lives, family)):  # noqa: ASYNC110 (there is no event to wait for)
                    await asyncio.sleep(0.05)
            await connection.close()


async def fill(viewer: Api, ticket: str) -> None:
    """Makes more changes than the kernel buffers for a client that does not read; returns once they are delivered."""
    async with live(viewer) as reader:
        await reader.subscribe("1", DESCRIPTIONS)
        await reader.next()
        connection = await asyncpg.connect(viewer.server.database_url)
        for text in TEXTS:
            await event_log.change(connection, BOSS, key(ticket), TicketEventKind.UPDATED, {"description": text}, {})
        await connection.close()
        for text in TEXTS:
            assert (await reader.next())["ticket"]["description"] == text
    await asyncio.sleep(0.5)  # another worker may lag by this much


async def test_a_stopped_application_leaves_no_task_connection_or_unwritten_line_behind(
    tmp_path: Path, fresh_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It also writes the pending lines of the access log, and stops its parts in an order in which none of them logs a
    warning about a missing dependency."""
    monkeypatch.setattr(logs, "configure", lambda settings: None)  # it would replace pytest's log handlers
    monkeypatch.setattr(access_log, "DELAY_SECONDS", 60)
    caplog.set_level(logging.INFO)
    settings = Settings(
        env="production",
        database_url=fresh_url,
        jwt_secret=SECRET,
        data_dir=tmp_path,
        pubsub_url="postgres://",
        event_retention_days=1,
        notify=True,
    )
    closed: list[DeliveryChannel] = []
    channels = {channel: Closing(channel, closed) for channel in DeliveryChannel}
    app = create_app(settings, lambda _: channels)
    watcher = await asyncpg.connect(fresh_url)
    before = asyncio.all_tasks()
    try:
        async with app.router.lifespan_context(app) as state:
            assert state is not None
            for name in ("callout", "callout bell", "callout tail", "callout tokens"):
                await until(watcher, f"count(*) >= 1 {OF_CALLOUT} = '{name}'")
            await state["readiness"].check()
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
                assert (await client.get("/nowhere")).status_code == 404
            assert "callout.access" not in {record.name for record in caplog.records}
        assert [record.name for record in caplog.records].count("callout.access") == 1
        assert asyncio.all_tasks() <= before
        assert closed == list(channels)
        await until(watcher, f"count(*) = 0 {OF_CALLOUT} LIKE 'callout%'")
        assert [record.message for record in caplog.records if record.levelno >= logging.WARNING] == []
    finally:
        gc.unfreeze()
        await watcher.close()


class Closing(Channel):
    """A channel that records that it was closed."""

    def __init__(self, name: DeliveryChannel, closed: list[DeliveryChannel]) -> None:
        self._name = name
        self._closed = closed

    async def send(self, notification: Notification) -> str:
        raise AssertionError("there is nothing to send")

    async def close(self) -> None:
        self._closed.append(self._name)
