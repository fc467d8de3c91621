"""Live windows while writers write, servers are killed and clients read slowly: in the end every list is the one that
the query returns. And the examples that clients copy, through a kill and a restart of their server."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from pubsub.bell import Bell
from tests.helpers.api import Api
from tests.helpers.database_checks import key
from tests.helpers.graphql_ws_client import WITHIN
from tests.helpers.live_lists import Keeper, example, keeping
from tests.helpers.node_client import needs_node, script
from tests.helpers.process import free_port
from tests.helpers.stress import SECONDS, WRITERS, all_at_once, served, server_of, server_process

pytestmark = pytest.mark.slow

UPDATED = [{"field": "UPDATED_AT", "direction": "DESC"}]
BY_PRIORITY = [{"field": "PRIORITY", "direction": "DESC"}, {"field": "REFERENCE", "direction": "ASC"}]
WINDOWS: list[dict[str, Any]] = [
    {"first": 5, "orderBy": UPDATED},
    {"first": 3, "orderBy": BY_PRIORITY, "filter": {"priority": ["HIGH", "URGENT"]}},
    {"first": 100, "filter": {"not": {"priority": ["LOW"]}}},
    {"first": 4, "filter": {"search": "number"}, "orderBy": BY_PRIORITY},
]
LISTED = """query($first: Int) { tickets(first: $first) {
    totalCount edges { cursor node { id reference subject status priority } } } }"""


async def test_every_list_is_right_in_the_end(tmp_path: Path, fresh_url: str) -> None:
    async with served(tmp_path, fresh_url, 2, "postgres://") as servers, Bell.open(fresh_url) as bell:
        async with Api(servers[0]) as api:
            tickets = [key(await api.new_ticket()) for _ in range(12)]
        keepers = [Keeper(servers, window, number) for window in WINDOWS for number in range(2)]
        slow = Keeper(servers, WINDOWS[0], 1, pause=0.4)

        async def kill() -> None:
            await asyncio.sleep(SECONDS / 2)
            os.kill(servers.pop(0).process.pid, signal.SIGKILL)

        async with keeping(*keepers, slow):
            await all_at_once(fresh_url, tickets, bell.ring, kill, WRITERS)
            for keeper in (*keepers, slow):
                await keeper.is_right()
        for keeper in keepers:
            assert keeper.patches and keeper.snapshots >= keeper.connections
        assert [keeper.connections for keeper in keepers] == [2, 1] * len(WINDOWS)


class Shown:
    """What an example shows."""

    def __init__(self) -> None:
        self.edges: list[Any] = []
        self.total = -1

    def show(self, edges: list[Any], total: int) -> None:
        self.edges, self.total = list(edges), total


Client = Callable[[Path, Api, Shown, dict[str, Any]], Coroutine[Any, Any, None]]


async def gql_client(directory: Path, viewer: Api, shown: Shown, variables: dict[str, Any]) -> None:
    url = viewer.server.url.replace("http", "ws", 1) + "/graphql"
    await example().keep(url, lambda: token_of(viewer), variables, shown.show)


async def node_client(directory: Path, viewer: Api, shown: Shown, variables: dict[str, Any]) -> None:
    url = viewer.server.url.replace("http", "ws", 1) + "/graphql"
    options = json.dumps({"url": url, "token": token_of(viewer), "variables": variables})
    process = await asyncio.create_subprocess_exec(
        *("node", script(directory, "keep.mjs"), options), stdout=asyncio.subprocess.PIPE, limit=2**20
    )
    assert process.stdout is not None
    try:
        async for line in process.stdout:
            if "edges" in (message := json.loads(line)):
                shown.show(message["edges"], message["total"])
    finally:
        process.kill()
        await process.wait()


def token_of(viewer: Api) -> str:
    return viewer.http.headers["authorization"].removeprefix("Bearer ")


@pytest.mark.parametrize("client", [gql_client, pytest.param(node_client, marks=needs_node)])
async def test_the_examples_keep_a_list_through_a_kill_and_a_restart(
    tmp_path: Path, fresh_url: str, client: Client
) -> None:
    variables = {"first": 3}
    shown = Shown()
    with ExitStack() as stack:
        port = str(free_port())
        process = stack.enter_context(server_process(tmp_path, fresh_url, port=port))
        async with Api(server_of(process, fresh_url)) as api:

            async def is_right() -> None:
                page = (await api(LISTED, **variables))["tickets"]
                async with asyncio.timeout(WITHIN):
                    while (shown.edges, shown.total) != (page["edges"], page["totalCount"]):  # noqa: ASYNC110
                        await asyncio.sleep(0.05)

            tickets = [await api.new_ticket(subject=f"Ticket {n}") for n in range(4)]
            running = asyncio.create_task(client(tmp_path, api, shown, variables))
            try:
                await is_right()
                await api.done("ticketUpdate", "ticket { id }", ticketId=tickets[2], priority="URGENT")
                await api.new_ticket(subject="The newest one")
                await is_right()
                os.kill(process.pid, signal.SIGKILL)
                await asyncio.to_thread(stack.enter_context, server_process(tmp_path, fresh_url, port=port))
                await api.done("ticketUpdate", "ticket { id }", ticketId=tickets[3], subject="After the restart")
                await is_right()
                assert not running.done()
            finally:
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)
