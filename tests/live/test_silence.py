"""A database that falls silent: connections stay open but pass no more bytes. Events committed meanwhile are delivered
once the server has noticed the silence."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path

import asyncpg
import pytest

from db.enums import TicketEventKind
from db.events import log as event_log
from tests.helpers.api import Api, Server
from tests.helpers.database_checks import key
from tests.helpers.graphql_ws_client import following
from tests.helpers.proxy import Proxy, connector, through
from tests.helpers.stress import BOSS, server_of, server_process


@pytest.fixture
def proxy(fresh_url: str) -> Proxy:
    return Proxy(connector(fresh_url))


@pytest.fixture
async def server(proxy: Proxy, tmp_path: Path, fresh_url: str) -> AsyncIterator[Server]:
    """A server that connects to the database through the proxy, which also works while the server starts and stops."""
    async with proxy.running() as port:
        with ExitStack() as stack:
            serving = server_process(tmp_path, through(port, fresh_url))
            yield server_of(await asyncio.to_thread(stack.enter_context, serving), fresh_url)
            await asyncio.to_thread(stack.close)


async def test_events_during_the_silence_are_delivered_after_it(proxy: Proxy, server: Server, fresh_url: str) -> None:
    """First the tail and the bell lose their connections, then the pool that runs the statements of groups."""
    async with Api(server) as api, following(api) as screen:
        ticket = await api.new_ticket()
        assert (await screen.next())["kind"] == "CREATED"
        await asyncio.gather(*(api("{ tickets { totalCount } }") for _ in range(8)))  # on as many connections
        for names in (("callout tail", "callout bell"), ("application_name\0callout\0",)):
            connections = [number for name in names for number in proxy.named(name)]
            assert len(connections) >= len(names)
            proxy.fall_silent(*connections)
            subjects = [f"{len(names)} are silent, {n}" for n in range(3)]
            connection = await asyncpg.connect(fresh_url)
            for subject in subjects:
                await event_log.change(connection, BOSS, key(ticket), TicketEventKind.UPDATED, {"subject": subject}, {})
            await connection.close()
            assert [(await screen.next())["ticket"]["subject"] for _ in subjects] == subjects
        await api.done("ticketUpdate", "ticket { version }", ticketId=ticket, subject="All can be heard again")
        assert (await screen.next())["ticket"]["subject"] == "All can be heard again"
        await screen.quiet()
