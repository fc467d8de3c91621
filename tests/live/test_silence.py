"""A database that falls silent: what is connected stays so, and no byte passes any more. Nothing that was committed
meanwhile is lost, and it is told once the silence has been noticed."""

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
from tests.helpers.proxy import Proxy, through, way_to
from tests.helpers.stress import BOSS, known, server_process


@pytest.fixture
def proxy(fresh_url: str) -> Proxy:
    return Proxy(way_to(fresh_url))


@pytest.fixture
async def server(proxy: Proxy, tmp_path: Path, fresh_url: str) -> AsyncIterator[Server]:
    """Whose connections to the database go through the proxy, which works on while it starts and ends."""
    async with proxy.running() as port:
        with ExitStack() as stack:
            serving = server_process(tmp_path, through(port, fresh_url))
            yield known(await asyncio.to_thread(stack.enter_context, serving), fresh_url)
            await asyncio.to_thread(stack.close)


async def test_what_happens_in_the_silence_is_told_after_it(proxy: Proxy, server: Server, fresh_url: str) -> None:
    """First that of the connections that wait for news, then that of those that ask what they mean."""
    async with Api(server) as api, following(api) as screen:
        ticket = await api.new_ticket()
        assert (await screen.next())["kind"] == "CREATED"
        await asyncio.gather(*(api("{ tickets { totalCount } }") for _ in range(8)))  # by as many connections
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
